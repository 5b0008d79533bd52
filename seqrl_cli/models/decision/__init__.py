"""Policies, which say actions themselves: Decision Transformers and behaviour cloning."""
