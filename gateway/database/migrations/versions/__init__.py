"""The migrations: one file per change."""
