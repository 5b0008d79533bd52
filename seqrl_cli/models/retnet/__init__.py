"""The Trajectory RetNet and its decoder."""
