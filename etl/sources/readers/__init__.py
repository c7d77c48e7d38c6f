"""Records read into requests, one reader a family of formats."""
