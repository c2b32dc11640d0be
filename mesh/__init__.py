"""Shared by every process: settings, gRPC, Triton, pictures, telemetry, errors. Knows nothing of diffusion."""
