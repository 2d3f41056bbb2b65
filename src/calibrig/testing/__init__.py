"""Contract suites, doubles and fault campaigns that strangers can inherit."""
