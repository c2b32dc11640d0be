"""The enterprise dialect's paths: every path at which the vendor's clients call its functions.

Source: the vendor's public documentation, 2023 to 2026, and its client libraries. Envoy handles trailing and double
slashes.
"""

import re
from collections.abc import Mapping

_E = "/api/v1/enterprise"


def _plain_and_images(*names: str) -> tuple[str, ...]:
    return tuple(f"{_E}{folder}/{name}" for name in names for folder in ("", "/images"))


PATHS: Mapping[str, tuple[str, ...]] = {
    "controlnet": (
        *_plain_and_images("controlnet"),
        f"{_E}/community/controlnet",
        f"{_E}/pony/controlnet",
        "/api/v5/controlnet",
        "/api/v6/controlnet",
        "/api/v6/images/controlnet",
        "/api/v7/images/controlnet",
    ),
    "text2img": (
        *_plain_and_images("text2img"),
        "/api/v3/text2img",
        "/api/v4/dreambooth",
        "/api/v6/images/text2img",
        "/api/v7/images/text-to-image",
    ),
    "img2img": (
        *_plain_and_images("img2img"),
        "/api/v3/img2img",
        "/api/v4/dreambooth/img2img",
        "/api/v6/images/img2img",
        "/api/v7/images/image-to-image",
    ),
    "inpaint": (
        *_plain_and_images("inpaint"),
        "/api/v3/inpaint",
        "/api/v4/dreambooth/inpaint",
        "/api/v6/images/inpaint",
        "/api/v7/images/inpaint",
    ),
    # Requests made at one version's path may be polled at another's. Each path also with the id as its last part.
    "fetch": (
        *_plain_and_images("fetch"),
        f"{_E}/fetch_queue_image",
        "/api/v3/fetch",
        "/api/v4/dreambooth/fetch",
        "/api/v5/images/fetch",
        "/api/v6/images/fetch",
        "/api/v7/images/fetch",
    ),
    "text2video": (f"{_E}/text2video", f"{_E}/video/text2video"),
    "super_resolution": (f"{_E}/super_resolution", f"{_E}/super_resolution/make"),
    "nsfw_image_check": (f"{_E}/nsfw_image_check", "/api/v3/nsfw_image_check"),
    "upload_image": (f"{_E}/upload_image",),
    "base64_to_url": ("/api/v6/base64_to_url",),
    "base64_crop": ("/api/v3/base64_crop",),
    "delete_image": ("/api/v3/delete_image",),
    "get_all_models": (f"{_E}/get_all_models",),
    "verify_model": (f"{_E}/verify_model",),
    "model_list": ("/api/v4/dreambooth/model_list",),
    "model_reload": ("/api/v6/images/model_reload", "/api/v4/dreambooth/model_reload"),
    "load_model": (f"{_E}/load_model", "/api/v3/load_model"),
    "load_model_v2": (f"{_E}/load_model_v2",),
    "delete_model": (f"{_E}/delete_model",),
    "load_vae": (f"{_E}/load_vae",),
    "sync_models": (f"{_E}/sync_models", f"{_E}/sync_model", f"{_E}/sync_image"),
    "schedulers_list": (f"{_E}/schedulers_list",),
    "system_details": _plain_and_images("system_details"),
    "system_load": ("/api/v3/system_load",),
    "clear_queue": _plain_and_images("clear_queue"),
    "clear_cache": (*_plain_and_images("clear_cache"), "/api/v5/clear_cache"),
    "restart_server": _plain_and_images("restart_server"),
    "update_server": _plain_and_images("update_server", "update"),
    "update_s3": (f"{_E}/update_s3",),
    "reset_s3": (f"{_E}/reset_s3",),
}
"""Function -> its paths. All use POST; `fetch` also GET."""

TASKS = ("controlnet", "text2img", "img2img", "inpaint")
"""Functions that make pictures."""

ADMIN = frozenset(
    {
        "load_model",
        "load_model_v2",
        "delete_model",
        "load_vae",
        "sync_models",
        "restart_server",
        "update_server",
        "update_s3",
        "reset_s3",
    }
)
"""Functions that require an administrator's key."""

FUNCTIONS = {path: function for function, paths in PATHS.items() for path in paths}
"""Path -> its function."""

_VERSION = re.compile(r"/api/v(\d)/")
_FETCHED_AT = {"1": f"{_E}/fetch", "7": "/api/v7/images/fetch"}


def version(path: str) -> str:
    """The API version digit of `path`; "1" is the enterprise plan."""
    found = _VERSION.match(path)
    return found[1] if found else ""


def tier(path: str) -> str:
    """`enterprise` or `public`: which defaults apply at `path`."""
    return "enterprise" if version(path) == "1" else "public"


def fetch_path(path: str) -> str:
    """The path for polling requests that were sent to `path`, without the id."""
    return _FETCHED_AT.get(version(path), "/api/v6/images/fetch")


def nothing_yet(path: str) -> str | list[str]:
    """The value of `output` before there are pictures: clients of some paths expect text, of others a list."""
    as_text = FUNCTIONS[path] == "controlnet" or version(path) in ("3", "4")
    return "" if as_text else []
