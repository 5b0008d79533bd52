"""Reads and writes other projects' files, and folders for model hubs."""
