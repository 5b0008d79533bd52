"""Encoders of observations: from vectors or images to the hidden width of a transformer.

All take observations ``(batch, ..., *shape)`` as the environment gives them, and the number of the body of each, and
return ``(batch, ..., width)``. Standardisation and
scaling are part of them, so that their buffers are saved with the weights.
"""
