"""Turns prompts and pictures into conditioning: text embeddings from Triton, hints from the controls."""
