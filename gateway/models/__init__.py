"""Models that administrators load and delete."""
