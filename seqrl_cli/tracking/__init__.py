"""Where the numbers of a run's log go, and how they are read back."""
