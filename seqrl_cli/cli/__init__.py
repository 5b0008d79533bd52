"""One file per command: parse the options, call one workflow, print its report."""
