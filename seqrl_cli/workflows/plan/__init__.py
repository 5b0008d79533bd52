"""``seqrl plan``."""
