"""The Hugging Face dialect's entry in the table of dialects."""

from gateway.dialects.common.entry import Entry
from gateway.dialects.huggingface.dialect import HuggingFace

ENTRY = Entry(
    name=HuggingFace.name,
    title="ControlMesh as a Hugging Face endpoint",
    about="What a ControlNet handler on an Inference Endpoint takes and answers.",
    make=HuggingFace,
    at="/ and /hf/NAME",
    starts=("/hf/",),
    paths=frozenset({"/", "/predict", "/health"}),
    # Not diffusers' `guidance_scale` and the like, which are also ours.
    words=frozenset({"num_inference_steps", "controlnet_type", "controlnet_conditioning_scale"}),
)
