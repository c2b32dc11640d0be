"""Words and pictures in, conditioning out: text embeddings from Triton, hints from the controls."""
