"""Our own API under /controlmesh/v1."""
