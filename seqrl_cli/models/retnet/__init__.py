"""The Trajectory RetNet, retention over the tokens of transitions.

In reading order:

- ``retention``: retention in its parallel, chunkwise and recurrent forms.
- ``block``, ``model``: the model as it is trained.
- ``decoder``: decoding, with ``decoder_layer`` (one block) and ``decoder_state`` (recurrent states of beams).
- ``fused_retention``: an optional GPU kernel for the chunkwise form.
- ``build``: the registry's entry.
"""
