"""The rules: the page's rows, the document of the rulings, and what a ruleset adds to them."""
