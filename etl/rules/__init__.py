"""The endpoint's page as rows of data, the ruleset made of them, and how names and values are read."""
