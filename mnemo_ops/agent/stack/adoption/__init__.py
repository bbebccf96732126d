"""A running project that nobody here described: where its files are now, what differs, what lies beside them."""
