"""Download files.

- ``fetch``: one file from the first place that has it, verified.
- ``transfer``: the HTTP transfer with retries; ``partial``: the unfinished file that it resumes.
- ``connection``: opens a URL; ``answer``: what the server's headers say; ``limits``: time, speed and bytes.
- ``mirrors``: the places to try, in order.
"""
