"""Engines, which run the tasks of a run: here, processes on this machine."""
