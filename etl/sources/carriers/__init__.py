"""Reads what containers, log shippers, log stores and queues carry: records within records."""
