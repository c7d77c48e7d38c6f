"""Compares published conversions with the export of a network or ad platform, and explains the differences."""
