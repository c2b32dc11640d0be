"""Annotators: models that find hints in pictures, from the libraries that define them to graphs that Triton serves."""
