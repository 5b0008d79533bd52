"""The run directory.

- ``layout``: names of the files and folders of a dataset and of a run.
- ``store``: finds datasets and runs below the root.
- ``record``: ``run.json``, what a run was made with and its status; ``status``: that status in words.
- ``lock``: one writer per folder.
- ``replace``: a new run takes the place of an old one.
- ``name_pattern``: which names a pattern of a listing means.
- ``mirrors``: where downloads may come from; ``download_hashes``: the hash of each file at its first download.
"""
