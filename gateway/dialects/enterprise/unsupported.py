"""Features of the enterprise API that this server does not have, and the answers to requests for them."""

from collections.abc import Mapping

from gateway.dialects.common.declared import NoEffect
from gateway.dialects.enterprise.declared import ABSENT
from mesh.errors import NotEnabled


class Absent(NotEnabled):
    """A function that is not enabled; `tip` says what it would need."""

    def __init__(self, name: str, needs: str) -> None:
        super().__init__(f"{name} is not enabled on this server")
        self.tip = f"It needs {needs}."


FUNCTIONS: Mapping[str, str] = {
    "text2video": "a video model",
    "super_resolution": "an upscaling model",
    "nsfw_image_check": "a model that classifies pictures",
    "load_vae": "exchangeable VAEs; export a model with the VAE of your choice instead",
    "sync_models": "a second server to copy models from; use load_model instead",
    "update_server": "the operator to roll out a new version",
}
"""Function -> what it would need."""

WITHOUT_COMMAND = "CN_GATEWAY_EXPORT_COMMAND, the command that exports models"
"""What loading and deleting models need."""

MODEL_TYPES: Mapping[str, str] = {
    "lora": "adapters",
    "embeddings": "textual inversions",
    "api_trained": "a training service",
}
"""Type of model that can't be loaded -> what that would need."""

MODEL_FORMATS: Mapping[str, str] = {
    "ckpt": "a .safetensors file or a diffusers folder; convert the checkpoint first",
    "pt": "a .safetensors file or a diffusers folder; convert the file first",
}
"""Format of models that can't be loaded -> what that would need."""


def of_type(name: str, needs: str) -> Absent:
    """The refusal of a type of model."""
    return Absent(f"loading models of type {name}", needs)


def in_format(name: str, needs: str) -> Absent:
    """The refusal of a format of models."""
    return Absent(f"loading models in the format {name}", needs)


def _refusal(what: str, absent: Absent) -> str:
    return f'| {what} | error: "{absent.message}". {absent.tip} |'


def table() -> str:
    """The Markdown table of all unavailable features."""
    rows = ["| request | answer |", "| --- | --- |"]
    for name, needs in FUNCTIONS.items():
        rows.append(_refusal(f"`{name}`", Absent(name, needs)))
    unconfigured = ("load_model", "delete_model")
    rows += [_refusal(f"`{name}` where nothing is configured", Absent(name, WITHOUT_COMMAND)) for name in unconfigured]
    for name, needs in MODEL_TYPES.items():
        rows.append(_refusal(f"`load_model` of type `{name}`", of_type(name, needs)))
    for name, needs in MODEL_FORMATS.items():
        rows.append(_refusal(f"`load_model` in the format `{name}`", in_format(name, needs)))
    for field in ABSENT:
        assert isinstance(field.effect, NoEffect)
        rows.append(f'| field `{field.name}` | `tip`: "{field.effect.remark}" |')
    return "\n".join(rows)
