"""Published conversions against another's export: what agrees, what does not, and why."""
