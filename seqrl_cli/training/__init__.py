"""The training loop, optimizer, schedule, sampler, checkpoints and metrics."""
