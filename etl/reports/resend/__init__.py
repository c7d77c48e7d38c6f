"""Plans a second sending: the lost postbacks, corrected, in formats that a sender or a tracker takes."""
