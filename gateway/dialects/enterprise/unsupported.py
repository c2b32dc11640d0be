"""What the enterprise dialect's clients can ask for and this server has not, in one place, and what they are told."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gateway.dialects.enterprise.fields import Fields
from mesh.errors import NotEnabled

_NONE = frozenset({"", "none", "no", "false"})


class Absent(NotEnabled):
    """A function that is not enabled; `tip` says what it waits for."""

    def __init__(self, name: str, needs: str) -> None:
        super().__init__(f"{name} is not enabled on this server")
        self.tip = f"It needs {needs}."


FUNCTIONS: Mapping[str, str] = {
    "text2video": "a video model",
    "super_resolution": "an upscaling model",
    "nsfw_image_check": "a model that classifies pictures",
    "load_vae": "VAEs that can be exchanged; export a model with the VAE of your choice",
    "sync_models": "a second server to copy models from; load them with load_model",
    "update_server": "its operator, who rolls out a new version",
}
"""Function -> what it waits for."""

WITHOUT_COMMAND = "CN_GATEWAY_EXPORT_COMMAND, the command that exports models"
"""What loading and deleting models wait for."""

MODEL_TYPES: Mapping[str, str] = {
    "lora": "adapters",
    "embeddings": "textual inversions",
    "custom_ckpt": "a diffusers folder; convert the checkpoint first",
    "api_trained": "a training service",
    "stable_diffusion_xl": "the exporter to know this family",
}
"""Kind of model that can't be loaded -> what that waits for."""

MODEL_FORMATS: Mapping[str, str] = {
    "ckpt": "a diffusers folder; convert the checkpoint first",
    "pt": "a diffusers folder; convert the file first",
    "safetensors": "a diffusers folder; convert the file first",
}
"""Format of models that can't be loaded -> what that waits for."""

Asks = Callable[[Fields, str], bool]


def _yes(fields: Fields, name: str) -> bool:
    return fields.raw(name) is not None and fields.flag(name, False)


def something(fields: Fields, name: str) -> bool:
    """Whether the field says anything but no."""
    return str(fields.raw(name) or "none").strip().lower() not in _NONE


@dataclass(frozen=True)
class Unheard:
    """A field that has no effect.

    Attributes:
        asks: whether a value asks for something that is not there.
        remark: what the caller is told.
    """

    asks: Asks
    remark: str


FIELDS: Mapping[str, Unheard] = {
    "tomesd": Unheard(_yes, "tomesd has no effect here."),
    "vae": Unheard(something, "vae was not applied: the model's own was used."),
    "lora_model": Unheard(something, "lora_model was not applied: LoRAs are not available."),
    "embeddings_model": Unheard(something, "embeddings_model was not applied: textual inversions are not available."),
    "embeddings": Unheard(something, "embeddings was not applied: textual inversions are not available."),
    "safety_checker": Unheard(_yes, "safety_checker is not available; the pictures were not checked."),
    "multi_lingual": Unheard(_yes, "multi_lingual is not available; the prompt was used as sent."),
    "ip_adapter_id": Unheard(something, "ip_adapter_id was not applied: IP adapters are not available."),
    "ip_adapter_image": Unheard(something, "ip_adapter_image was not applied: IP adapters are not available."),
    "upscale": Unheard(
        lambda fields, name: something(fields, name) and fields.text(name) != "1",
        "upscale is not available; the pictures have the size that was asked for.",
    ),
    "watermark": Unheard(_yes, "watermark is not available; the pictures have none."),
    "panorama": Unheard(_yes, "panorama is not available; the picture is an ordinary one."),
    "self_attention": Unheard(_yes, "self_attention is not available; the picture was made without it."),
    "highres_fix": Unheard(_yes, "highres_fix is not available; the picture was made in one go."),
}
"""Fields of requests for pictures."""


def remarks(fields: Fields) -> Iterator[str]:
    """What to say of the fields that ask for what is not there.

    Raises:
        InvalidInput: a field of the wrong type.
    """
    return (absent.remark for name, absent in FIELDS.items() if absent.asks(fields, name))


def of_type(name: str, needs: str) -> Absent:
    """The refusal of a kind of model."""
    return Absent(f"loading models of type {name}", needs)


def in_format(name: str, needs: str) -> Absent:
    """The refusal of a format of models."""
    return Absent(f"loading models in the format {name}", needs)


def _refusal(what: str, absent: Absent) -> str:
    return f'| {what} | error: "{absent.message}". {absent.tip} |'


def table() -> str:
    """All of it as a table in Markdown."""
    rows = ["| asked for | answered by |", "| --- | --- |"]
    for name, needs in FUNCTIONS.items():
        rows.append(_refusal(f"`{name}`", Absent(name, needs)))
    unconfigured = ("load_model", "delete_model")
    rows += [_refusal(f"`{name}` where nothing is configured", Absent(name, WITHOUT_COMMAND)) for name in unconfigured]
    for name, needs in MODEL_TYPES.items():
        rows.append(_refusal(f"`load_model` of type `{name}`", of_type(name, needs)))
    for name, needs in MODEL_FORMATS.items():
        rows.append(_refusal(f"`load_model` in the format `{name}`", in_format(name, needs)))
    for name, absent in FIELDS.items():
        rows.append(f'| field `{name}` | `tip`: "{absent.remark}" |')
    return "\n".join(rows)
