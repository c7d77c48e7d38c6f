"""Requests to tables, one step a module; `pipeline` has their order."""
