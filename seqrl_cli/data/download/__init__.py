"""Download files.

- ``fetch``: one file from the first place that has it, verified.
- ``transfer``: the HTTP transfer with retries; ``partial``: the unfinished file that it resumes.
- ``mirrors``: the places to try, in order.
"""
