"""Where the work is done: on this machine, by functions that any machine could call."""
