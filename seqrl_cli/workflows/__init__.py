"""One file a verb: find or make the inputs, build, run, write."""
