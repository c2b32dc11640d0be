"""Plumbing shared by every process: settings, gRPC, Triton, pictures, telemetry, errors. Knows no diffusion."""
