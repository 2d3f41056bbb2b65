"""One file per transport."""
