"""Offline export of a diffusers folder, or of a single safetensors file, to a verified model_repository.

See `python -m export --help`.
"""
