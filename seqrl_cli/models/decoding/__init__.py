"""What decoders of several models share.

In reading order:

- ``interface``: the decoder interface, through which planning uses a model.
- ``ensemble``: several models that predict as one.
- ``prefix_tree``: sequences as a tree of distinct prefixes.
- ``invariant_linear``: linear layers whose result for a row does not depend on the rest of the batch.
- ``routed_linear``: such layers with adapters; ``episode_adapters``: which episode uses which.
"""
