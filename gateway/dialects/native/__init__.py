"""The native dialect: our own API under /controlmesh/v1."""
