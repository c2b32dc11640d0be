"""The Hugging Face dialect: a ControlNet handler on Inference Endpoints."""
