"""Latents <-> pictures: the VAE in Triton, the file formats here."""
