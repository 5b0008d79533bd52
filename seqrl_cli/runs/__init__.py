"""The run directory.

- ``layout``: names of the files and folders of a dataset and of a run.
- ``store``: finds datasets and runs below the root.
- ``record``: ``run.json``, what a run was made with and its status; ``status``: that status in words.
- ``lock``: one writer per folder; ``atomic``: writes that happen completely or not at all.
- ``replace``: a new run takes the place of an old one.
- ``mirrors``: where downloads may come from; ``download_hashes``: the hash of each file at its first download.
- ``json_fields``: checked fields of JSON files that anyone may have written.
"""
