"""The canonical request, its execution by the services, and the catalogue of what can be requested."""
