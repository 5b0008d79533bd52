"""``seqrl finetune``: train a trained model further on one dataset, with an adapter or in parts."""
