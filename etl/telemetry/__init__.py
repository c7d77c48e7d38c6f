"""What a scheduler's surroundings learn of a command, however it ends: metrics and lineage."""
