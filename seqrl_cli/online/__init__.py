"""Online fine-tuning: the replay buffer in memory and on disk, and the loop that fills it and learns from it."""
