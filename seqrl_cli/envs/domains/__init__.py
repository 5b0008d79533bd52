"""Environments of D4RL that gymnasium lacks.

- ``mazes``: antmaze and maze2d.
- ``robotics``: kitchen and adroit.
- ``bullet``: pybullet's locomotion.
"""
