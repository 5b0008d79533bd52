"""The contents of the run directory as objects, found or made: datasets, tokens, data of policies, trained runs."""
