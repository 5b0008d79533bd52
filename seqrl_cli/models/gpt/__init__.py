"""The Trajectory Transformer, a GPT over the tokens of transitions.

In reading order:

- ``model``: the model as it is trained.
- ``decoder``: decoding in PyTorch, with ``decoder_layer`` (one block) and ``paged_cache`` (keys and values).
- ``native_decoder``: decoding in C++, with ``native_weights``; the C++ is in ``models/native``.
"""
