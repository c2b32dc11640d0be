"""Building blocks of control types: extractors, annotators' maps, ready hints, edges, skeletons."""
