"""Verbs about other projects' files: import a checkpoint, export a model."""
