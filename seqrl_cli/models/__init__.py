"""Sequence models as plain modules, and their decoders.

In reading order:

- ``block``, ``dropout``: the transformer block that GPT and Decision Transformers share.
- ``embedding``, ``loss``: embedding, head and loss of token models.
- ``gpt``, ``retnet``: the token models, whose sequences a planner searches.
- ``decision``: the policies, which predict actions directly.
- ``encoders``: the layers that read vectors and images, which policies share.
- ``decoding``: the decoder interface, and what decoders share.
- ``adapters``: what can be added to a trained model: LoRA, IA3, prompts and others.
- ``implementation``: what a model registers; ``build``: models and decoders by name.
- ``parts``, ``size``, ``device``: a model's parts by name, its memory, and where it is computed.
- ``checks``, ``old_names``: checks of sizes, and tensor names of earlier versions.
"""
