"""Jobs: accepting, running, watching, cancelling and expiring them; their records."""
