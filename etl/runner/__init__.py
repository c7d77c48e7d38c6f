"""One run: stages inputs, removes duplicates, writes the tables and publishes them."""
