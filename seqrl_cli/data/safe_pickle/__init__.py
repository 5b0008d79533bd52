"""A restricted reader of pickles, which never imports or calls anything."""
