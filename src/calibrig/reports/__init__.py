"""The report a person reads: nothing is computed here."""
