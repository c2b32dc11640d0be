"""What every dialect is, and what several of them share."""
