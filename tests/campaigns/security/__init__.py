"""Files from strangers: nothing in them runs, nothing of the user's is read, overwritten or spoofed because of them."""
