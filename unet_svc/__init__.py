"""Turns conditioning and noise into latents: the scheduler's loop with one model call per step."""
