"""The enterprise dialect's entry in the table of dialects."""

from gateway.dialects.common.entry import Entry
from gateway.dialects.enterprise.dialect import Enterprise
from gateway.dialects.enterprise.options import DIALECT, OPTIONS
from gateway.dialects.enterprise.settings import EnterpriseSettings
from gateway.dialects.enterprise.webhooks import VOICE

ENTRY = Entry(
    name=DIALECT,
    title="ControlMesh as an enterprise Stable Diffusion endpoint",
    about="A drop-in replacement for the hosted stablediffusionapi / ModelsLab endpoints. The key is in the body.",
    make=Enterprise,
    words=frozenset(
        {
            "messege",
            "init_image",
            # Also diffusers' names, but not ours.
            "num_inference_steps",
            "controlnet_type",
            "controlnet_model",
            "controlnet_conditioning_scale",
            "future_links",
            "track_id",
            "safety_checker",
            "qrcode_text",
        }
    ),
    voice=VOICE,
    key_options=OPTIONS,
    settings=EnterpriseSettings,
    at="/api/v1/enterprise and /api/v3 to /api/v7",
    starts=("/api/",),
)
