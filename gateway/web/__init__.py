"""Pieces of HTTP that know nothing of this API: bodies, negotiation, preferences, problems."""
