"""``seqrl finetune-online``."""
