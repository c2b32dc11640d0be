"""Connections to hosts that clients name, and pictures fetched from them."""
