"""HTTP building blocks, independent of this API: bodies, content negotiation, preferences, problem details."""
