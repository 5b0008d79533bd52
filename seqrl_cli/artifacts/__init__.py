"""What lies in the run directory as objects, found or made: datasets, tokens, the data of policies."""
