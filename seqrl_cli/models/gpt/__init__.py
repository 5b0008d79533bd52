"""The Trajectory Transformer and its decoders."""
