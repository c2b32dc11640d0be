"""Command lines of the gateway beside serving."""
