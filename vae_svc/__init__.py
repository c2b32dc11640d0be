"""Converts between latents and pictures: the VAE runs in Triton, the file formats are handled here."""
