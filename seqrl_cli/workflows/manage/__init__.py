"""``seqrl runs delete``, ``rename``, ``archive`` and ``restore``."""
