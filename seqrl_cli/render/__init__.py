"""States to video."""
