"""A whole Postgres cluster: every database with its globals, dumped, filled anew, and proven equal."""
