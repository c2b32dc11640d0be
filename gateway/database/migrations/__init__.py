"""Migrations of the database, applied in order when a gateway starts."""
