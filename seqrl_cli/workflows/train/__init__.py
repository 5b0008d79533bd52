"""``seqrl train``."""
