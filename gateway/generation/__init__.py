"""The canonical request, its way through the services, and what can be asked for."""
