"""The short Python API, for scripts and notebooks: ``from seqrl_cli import load, train, results``."""
