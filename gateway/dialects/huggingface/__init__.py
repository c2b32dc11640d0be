"""Hugging Face Inference Endpoints' handler for ControlNets."""
