"""Policies that make datasets, the search that found them, and collection."""
