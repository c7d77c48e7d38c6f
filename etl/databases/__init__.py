"""The tables of a store in a database, with keys, comments and views."""
