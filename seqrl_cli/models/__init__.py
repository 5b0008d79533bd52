"""Sequence models as plain modules, and their decoders.

In reading order:

- ``block``, ``dropout``: the transformer block that GPT and Decision Transformers share.
- ``embedding``, ``loss``: embedding, head and loss of token models.
- ``gpt``, ``retnet``: the token models, whose sequences a planner searches.
- ``decision``: the policies, which predict actions directly.
- ``decoding``: the decoder interface, and what decoders share.
- ``build``: models and decoders by name.
- ``checks``, ``old_names``: checks of sizes, and tensor names of earlier versions.
"""
