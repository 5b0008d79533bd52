"""``seqrl demo``: the whole chain on a simulated dataset."""
