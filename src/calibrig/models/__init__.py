"""Pure mathematics of the four models: no fitting, no I/O."""
