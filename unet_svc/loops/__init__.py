"""The denoising loops: one file each, all with the `Loop` protocol of `contract.py`."""
