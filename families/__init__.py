"""Facts about model families and the models loaded: data, names and file formats; no inference."""
