"""The enterprise API of stablediffusionapi and ModelsLab."""
