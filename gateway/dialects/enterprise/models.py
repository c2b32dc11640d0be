"""The enterprise dialect's functions about models: listing, loading and deleting them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from controlmesh.v1 import unet_pb2
from gateway.dialects.common.lenient import Lenient
from gateway.dialects.common.wording import renamed
from gateway.dialects.enterprise import kinds as enterprise_kinds
from gateway.dialects.enterprise.call import Call, Function, done
from gateway.dialects.enterprise.options import DIALECT
from gateway.dialects.enterprise.unsupported import (
    MODEL_FORMATS,
    MODEL_TYPES,
    WITHOUT_COMMAND,
    Absent,
    in_format,
    of_type,
)
from gateway.dialects.enterprise.webhooks import LOAD_NAMES
from gateway.models.admin import SINGLE_FILE
from gateway.models.loads import Load
from mesh.errors import InvalidInput, MeshError, NotFound

_CONTROLNET = "controlnet"
_CHECKPOINT = "custom_ckpt"
_SAFETENSORS = "safetensors"


async def get_all_models(call: Call) -> dict[str, Any]:
    """Every loaded model and the time of its export."""
    models = (await call.gateway.catalogue.offer()).models
    listed = [{"load_data": f"{_loaded_at(model):%m/%d/%Y %H:%M:%S}", "model_id": model.name} for model in models]
    return {"models": listed, "status": "success"}


async def verify_model(call: Call) -> dict[str, Any]:
    """Whether a model is loaded."""
    offer, asked = await call.gateway.catalogue.offer(), call.fields.required("model_id")
    # ControlNets that were loaded separately count too.
    if await _find(call) is None and not any(asked in model.controls for model in offer.models):
        raise NotFound("Model does not exist on server")
    return done("Model exists on server")


async def model_reload(call: Call) -> dict[str, Any]:
    """Reload a model; here loaded models always stay loaded."""
    if await _find(call) is None:
        raise NotFound("Model id not found")
    return done("Model is loaded")


async def model_list(call: Call) -> list[dict[str, Any]]:
    """Every loaded model as a bare list, as in the vendor's API."""
    return [
        {
            "model_id": model.name,
            "status": "model_ready",
            "created_at": f"{_loaded_at(model):%Y-%m-%dT%H:%M:%S}.000000Z",
            "instance_prompt": None,
            "model_name": model.name,
            "description": _description(model),
            "screenshots": None,
        }
        for model in (await call.gateway.catalogue.offer()).models
    ]


async def load_model(call: Call) -> dict[str, Any]:
    """Start to load a model from a hub, or from a folder or .safetensors file of this deployment, or a ControlNet for a
    loaded model; a webhook is notified of the end."""
    return await _load(call, "load_model")


async def load_model_v2(call: Call) -> dict[str, Any]:
    """The same as load_model, which accepts the fields of both."""
    return await _load(call, "load_model_v2")


async def delete_model(call: Call) -> dict[str, Any]:
    """Unload a model, or a ControlNet that was loaded separately, and remove its graphs."""
    _check_enabled(call, "delete_model")
    name = call.fields.required("model_id")
    try:
        await call.gateway.models.delete(name)
    except NotFound:
        raise NotFound("Model does not exist on server") from None
    except MeshError as error:
        raise renamed(error, LOAD_NAMES) from None
    return done("Model deleted on server")


async def _load(call: Call, function: str) -> dict[str, Any]:
    _check_enabled(call, function)
    fields = call.fields
    source, name = fields.required("url"), fields.required("model_id")
    kind = fields.text("model_type").strip().lower()
    format = fields.text("model_format").strip().lower()
    if kind in MODEL_TYPES:
        raise of_type(kind, MODEL_TYPES[kind])
    if format in MODEL_FORMATS:
        raise in_format(format, MODEL_FORMATS[format])
    _check_single_file(source, kind, format)
    told: str | None = None
    if fields.says_something("webhook"):
        told = await call.gateway.webhooks.named(fields.text("webhook").strip(), "webhook")
    wanted = Load(name=name, source=source, owner=call.owner, dialect=DIALECT, webhook=told)
    if kind == _CONTROLNET:
        wanted = await _controlnet(call, wanted)
    try:
        await call.gateway.models.load(wanted)
    except MeshError as error:
        raise renamed(error, LOAD_NAMES) from None
    _unheard(fields)
    return done("model load started")


def _check_single_file(source: str, kind: str, format: str) -> None:
    """Refuse what is asked for as a single file and is named otherwise."""
    if source.endswith(SINGLE_FILE):
        return
    for found, single, field, other in (
        (format, _SAFETENSORS, "model_format", "diffusers"),
        (kind, _CHECKPOINT, "model_type", "huggingface"),
    ):
        if found == single:
            raise InvalidInput(
                f"url {source[:80]!r} does not end in {SINGLE_FILE}, which {field} {single} needs: name such a file in "
                f"a folder that models may be loaded from, or ask for {field} {other}",
                field="url",
            )


async def _controlnet(call: Call, wanted: Load) -> Load:
    """The load of a ControlNet for the model `base_model`, or for the default model."""
    catalogue, asked = call.gateway.catalogue, call.fields.text("base_model").strip()
    model = call.gateway.settings.aliases().get(asked, asked) or await catalogue.default_model()
    kind = enterprise_kinds.taken_by(call.fields, await catalogue.offer(), wanted.source, wanted.name)
    return replace(wanted, kind=kind, model=model)


def _unheard(fields: Lenient) -> None:
    if fields.text("revision").strip().lower() != fields.declared("revision").default:
        fields.remark("revision")
    if fields.flag("upcast_attention"):
        fields.remark("upcast_attention")


def _check_enabled(call: Call, function: str) -> None:
    if not call.gateway.models.enabled:
        raise Absent(function, WITHOUT_COMMAND)


async def _find(call: Call) -> unet_pb2.Model | None:
    asked = call.fields.required("model_id")
    offer = await call.gateway.catalogue.offer()
    return offer.model(call.gateway.settings.aliases().get(asked, asked))


def _loaded_at(model: unet_pb2.Model) -> datetime:
    return datetime.fromtimestamp(model.exported_at, UTC)


def _description(model: unet_pb2.Model) -> str:
    controls = f"controls: {', '.join(model.controls)}" if model.controls else "no controls"
    needs = "; it needs an init_image and a mask_image" if model.limits.needs_mask else ""
    if own := model.limits.own_control:
        needs = f"; it needs a control of the kind {own}"
    about = f"A model of the family {model.family} for {model.native_size} x {model.native_size} pixels"
    return f"{about}; {controls}{needs}."


FUNCTIONS: Mapping[str, Function] = {
    function.__name__: function
    for function in (
        get_all_models,
        verify_model,
        model_reload,
        model_list,
        load_model,
        load_model_v2,
        delete_model,
    )
}
