"""Encoders of observations: from vectors or images to the hidden width of a transformer.

All take observations ``(batch, ..., *shape)`` as the environment gives them, and the index of each one's body, and
return ``(batch, ..., width)``. Standardization and scaling are part of them, so their statistics are saved with the
weights.
"""
