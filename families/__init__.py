"""Facts about model families: what a model needs, as data; no behaviour, no torch."""
