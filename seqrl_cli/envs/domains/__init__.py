"""Environments in the layouts of D4RL, which gymnasium itself lacks."""
