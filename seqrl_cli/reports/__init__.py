"""Results to statistics, tables and plots."""
