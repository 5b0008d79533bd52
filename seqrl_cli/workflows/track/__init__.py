"""``seqrl runs track``."""
