"""Durable workflows: the port, and DBOS behind it."""
