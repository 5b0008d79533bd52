"""The Trajectory Transformer, a GPT over the tokens of transitions.

In reading order:

- ``model``: the model as it is trained.
- ``decoder``: decoding in PyTorch, with ``decoder_layer`` (one block) and ``paged_cache`` (keys and values).
- ``native_decoder``: decoding in C++, with ``native_weights``; the C++ is in ``native``.
- ``build``: the registry's entry.

How a GPT decodes is in six files: ``decoding.interface`` and ``decoding.prefix_tree``, then ``model``, ``decoder``,
``decoder_layer`` and ``paged_cache`` here.
"""
