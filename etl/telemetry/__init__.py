"""Reports a command's result to monitoring: metrics and lineage, whether the command succeeds or fails."""
