"""Conditioning and noise in, latents out: the scheduling loop over one model call a step."""
