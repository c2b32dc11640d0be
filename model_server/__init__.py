"""Starts Triton Inference Server and says, by inference, whether it can serve."""
