"""Export of annotators, models that extract hints from pictures, from their libraries to graphs for Triton."""
