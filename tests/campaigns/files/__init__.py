"""Damaged and foreign files: each is read, or refused in one sentence, in bounded memory and time."""
