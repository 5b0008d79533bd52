"""How the shipped behaviour policies were made, so that they can be made again."""
