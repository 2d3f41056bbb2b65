"""One file per claim, each beside its peer in the same run."""
