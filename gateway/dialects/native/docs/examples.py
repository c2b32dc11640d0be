"""Examples in the documentation of the native API: what is sent, and what is answered."""

from typing import Any

_SENT = "data:image/png;base64,iVBORw0KGgo..."
_SETTINGS = {"steps": 20, "guidance_scale": 3.0, "seed": 7}
GENERATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "controlled": (
        "One picture that follows the edges of another",
        {
            "prompt": "a red circle on a white background",
            "controls": [{"kind": "canny", "image": _SENT}],
            **_SETTINGS,
        },
    ),
    "words": (
        "A picture that hides a QR code",
        {
            "prompt": "a garden seen from above",
            "controls": [{"kind": "qrcode", "text": "https://example.org", "weight": 1.3}],
            **_SETTINGS,
        },
    ),
    "image_to_image": (
        "A picture changed by half, its edges kept",
        {
            "prompt": "a (blue:1.3) circle on a white background",
            "image": _SENT,
            "strength": 0.5,
            "controls": [{"kind": "canny"}],
            **_SETTINGS,
        },
    ),
    "inpaint": (
        "What is white in the mask painted anew, with previews",
        {
            "prompt": "a yellow ring on a white background",
            "image": _SENT,
            "mask": _SENT,
            "strength": 1.0,
            "preview_every": 5,
            **_SETTINGS,
        },
    ),
}

HINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "one": (
        "The edges of a picture, as a picture",
        {"kind": "canny", "image": _SENT, "parameters": {"low_threshold": 50}, "short_side": 512},
    ),
    "words": ("A QR code of some words", {"kind": "qrcode", "text": "https://example.org", "short_side": 512}),
    "ready": ("A ready map, checked and fitted to a size", {"kind": "scribble", "image": _SENT, "auto_hint": False}),
    "several": (
        "Edges at one size, depth by a named extractor at another, and the picture with its masked part black, as JSON",
        {
            "hints": [
                {"kind": "canny", "image": _SENT, "width": 512, "height": 512},
                {"kind": "depth", "image": _SENT, "extractor": "model", "parameters": {"detect_resolution": 256}},
                {"kind": "inpaint", "image": _SENT, "mask": _SENT},
            ]
        },
    ),
}

_ID = "5f1d2c3b4a59687706f5e4d3c2b1a090"
_PICTURE = "2c9a4b7d81e06f53a2b4c6d8e0f1a3b5.png"
_KEPT = "9e107d9d372bb6826bd81d3542a419d6.png"
_HOST = "http://127.0.0.1:8080/controlmesh/v1"
RECORD: dict[str, Any] = {
    "id": _ID,
    "dialect": "native",
    "status": "succeeded",
    "priority": 5,
    "attempts": 1,
    "progress": {"step": 20, "steps": 20},
    "images": [{"url": f"{_HOST}/assets/{_PICTURE}", "seed": 7, "width": 128, "height": 128}],
    "notes": [],
    "effective_prompt": "a red circle on a white background",
    "effective_negative_prompt": "",
    "error": None,
    "created_at": "2026-01-31T12:00:00.000000+00:00",
    "started_at": "2026-01-31T12:00:00.100000+00:00",
    "finished_at": "2026-01-31T12:00:01.900000+00:00",
    "webhook": "https://example.org/hook",
    "deliveries": None,
    "request": {
        "prompt": "a red circle on a white background",
        "negative_prompt": "",
        "model": "demo",
        "controls": [
            {
                "kind": "canny",
                "auto_hint": True,
                "weight": 1.0,
                "start": 0.0,
                "end": 1.0,
                "parameters": {},
                "extractor": None,
                "text": None,
            }
        ],
        "width": 128,
        "height": 128,
        "steps": 20,
        "guidance_scale": 3.0,
        "scheduler": "UniPCMultistepScheduler",
        "seed": 7,
        "samples": 1,
        "format": "png",
        "clip_skip": 0,
        "strength": None,
        "guess_mode": False,
        "use_karras_sigmas": None,
        "algorithm_type": None,
        "prompt_weighting": True,
        "enhance_prompt": False,
        "enhance_style": None,
        "preview_every": 0,
        "keep_unmasked": False,
        "true_guidance_scale": None,
    },
}
RUNNING = {
    **RECORD,
    "status": "running",
    "progress": {"step": 8, "steps": 20},
    "images": [],
    "effective_prompt": None,
    "effective_negative_prompt": None,
    "finished_at": None,
}
CANCELLED = {**RUNNING, "status": "cancelled", "finished_at": RECORD["finished_at"]}
TOLD = {
    **RECORD,
    "deliveries": [
        {
            "id": "msg_2c9a4b7d81e06f53a2b4c6d8",
            "url": "https://example.org/hook",
            "event": "generation.completed",
            "status": "delivered",
            "attempts": 1,
            "last_answer": "200",
            "next_at": None,
            "created_at": RECORD["finished_at"],
            "done_at": "2026-01-31T12:00:02.050000+00:00",
        }
    ],
}
GENERATION_LIST = {"generations": [RECORD], "next": "QdpfZ7v___9jMGFi"}
STREAM = (
    "id: 1-running-8\nevent: progress\nretry: 2000\n"
    f'data: {{"id": "{_ID}", "status": "running", "step": 8, "steps": 20, "eta_s": 1.1}}\n\n'
)
HINT = {
    "image": _SENT,
    "width": 512,
    "height": 512,
    "kind": "canny",
    "extractor": "canny",
    "annotator": None,
    "notes": [],
    "service_ms": 12.5,
    "duration_ms": 14.1,
}
KEPT: dict[str, tuple[str, dict[str, Any]]] = {
    "sent": ("A picture of your own", {"image": _SENT, "name": "room.png", "expires_s": 86_400}),
    "named": ("A picture that is fetched once", {"image": "https://example.org/room.png"}),
}
ASSET = {
    "id": _KEPT,
    "url": f"{_HOST}/assets/{_KEPT}?expires=1769947200&signature=mZ3k",
    "name": "room.png",
    "media_type": "image/png",
    "width": 768,
    "height": 512,
    "size": 301_377,
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "source": "uploaded",
    "generation": None,
    "created_at": "2026-01-31T12:00:00.000000+00:00",
    "expires_at": None,
}
ASSET_LIST = {"assets": [ASSET], "next": None}
ENDPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "all": ("Everything", {"url": "https://example.org/hook"}),
    "ends": (
        "How generations end",
        {
            "url": "https://example.org/hook",
            "events": ["generation.completed", "generation.failed", "generation.cancelled"],
            "description": "the shop",
        },
    ),
}
ENDPOINT_CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "moved": ("Another URL", {"url": "https://example.org/new-hook"}),
    "on": ("On again", {"enabled": True}),
}
ENDPOINT = {
    "id": "ep_2c9a4b7d81e06f53a2b4c6d8",
    "dialect": "native",
    "url": "https://example.org/hook",
    "events": ["*"],
    "description": "",
    "enabled": True,
    "disabled_because": None,
    "failed_attempts": 0,
    "attempts": 0,
    "delivered_at": None,
    "created_at": "2026-01-31T12:00:00.000000+00:00",
    "updated_at": "2026-01-31T12:00:00.000000+00:00",
}
_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NEW_ENDPOINT = {**ENDPOINT, "secret": _SECRET}
ENDPOINT_LIST = {"webhook_endpoints": [ENDPOINT]}
SECRET = {"secret": _SECRET}
MODELS = {
    "models": [
        {
            "name": "demo",
            "family": "sd15",
            "native_size": 128,
            "controls": ["canny", "depth"],
            "prediction_type": "v_prediction",
            "default_scheduler": "DDIMScheduler",
            "latent_channels": 4,
            "exported_at": "2026-01-31T12:00:00+00:00",
        }
    ],
    "default": "demo",
}
_LOW = {"name": "low_threshold", "description": "Grey levels.", "minimum": 0, "maximum": 255, "default_value": 100}
CONTROLS = {
    "controls": [
        {
            "kind": "canny",
            "description": "White edges on black.",
            "extractable": True,
            "parameters": [_LOW],
            "models": ["demo"],
            "reads_mask": False,
            "extractors": [
                {
                    "name": "canny",
                    "description": "Canny's edge detector.",
                    "available": True,
                    "how_to_get": "",
                    "stand_in": False,
                    "reads_text": False,
                    "annotator": "",
                    "annotator_description": "",
                    "parameters": [_LOW],
                    "source": "Canny, 1986",
                }
            ],
            "controlnets": [{"family": "sd15", "ids": ["lllyasviel/control_v11p_sd15_canny"]}],
        }
    ]
}
SCHEDULERS = {
    "schedulers": [
        {
            "name": "UniPCMultistepScheduler",
            "description": "Good pictures in few steps.",
            "stochastic": False,
            "karras_sigmas": True,
            "algorithm_types": [],
            "model_calls": "n",
            "inverts": False,
        }
    ]
}
STYLES = {"styles": [{"name": "comic", "prompt": "comic of {prompt}", "negative_prompt": "photo"}]}
PROBLEM_KIND = {
    "type": "/controlmesh/v1/problems/invalid",
    "title": "Invalid request",
    "status": 422,
    "meaning": "`field` names the part to change, `detail` what it must be.",
}
PROBLEM_KINDS = {"problems": [PROBLEM_KIND]}
