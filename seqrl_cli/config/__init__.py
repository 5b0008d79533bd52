"""Typed configuration, presets and overrides."""
