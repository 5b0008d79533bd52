"""One folder per group of commands; each command finds or makes its inputs, builds, runs and writes."""
