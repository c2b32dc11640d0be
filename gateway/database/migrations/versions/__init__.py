"""The database's history: one file a change, applied in order when a gateway starts."""
