"""Sequence models as plain modules, their loss, and the decoder interface."""
