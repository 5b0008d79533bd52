"""Planning with a trained model: beam search, agents, the closed loop, and the files of planned episodes.

=====================  ==============================================================================================
``beam``               the beam search: ``beam_plan`` turns a decoder and a context into a plan
``filters``            which tokens the search may sample (top-k, part of the probability), and how it samples them
``value_readout``      predicted distribution over reward or value bins -> one number
``settings``           the keys of a search, checked together
``beam_agent``         an agent that plans by beam search and executes its plans
``policy_agent``       an agent that follows a policy (Decision Transformers, behaviour cloning)
``rollout``            the closed loop of agent and environments; the ``Agent`` protocol and ``EpisodeRecord``
``episode_files``      the JSON and HDF5 file of an episode
``memory_budget``      how many episodes can be planned side by side
``profile``            where the time of planning goes
``cuda_graph``         whole plans as CUDA graphs
=====================  ==============================================================================================

Models are known here only through the decoder interface, :mod:`seqrl_cli.models.decoding.interface`.
"""
