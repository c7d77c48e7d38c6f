"""Loads inputs into Delta tables, each input once; maintains, replays, exports and verifies these tables."""
