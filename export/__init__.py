"""Offline export of a diffusers folder to a verified model_repository. See `python -m export --help`."""
