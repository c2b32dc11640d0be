"""Starts Triton Inference Server and checks its readiness by inference."""
