"""Jobs: taken, run, watched, cancelled, expired; their records."""
