"""The enterprise dialect: the API of stablediffusionapi and ModelsLab."""
