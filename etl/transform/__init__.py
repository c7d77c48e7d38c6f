"""Requests to tables, one step a module."""
