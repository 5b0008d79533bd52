"""Readers and writers of dataset formats, each from files to ``Episodes``."""
