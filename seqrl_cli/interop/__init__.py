"""Other projects' files to ours."""
