"""The model store: versioned, audited parameters behind one set of promises."""
