"""What the exporter knows of each family: which sources it takes, and which graphs it makes of them."""
