"""A restricted reader of pickles, which never imports or calls anything.

- ``read``: the entry point, with limits on sizes.
- ``machine``: the stack machine that executes the harmless instructions.
- ``vocabulary``: the names that a pickle may use, and the plain data that replaces them.
"""
