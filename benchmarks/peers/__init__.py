"""Programs that run in the peers' own environment: the same task in another library."""
