"""What control types are made of: extractors, maps of annotators, ready hints, edges, skeletons."""
