"""Sampling filters, beam search and closed-loop rollouts over any decoder."""
