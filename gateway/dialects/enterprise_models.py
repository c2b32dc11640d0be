"""The enterprise dialect's functions about models: which are there, loading and deleting them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from controlmesh.v1 import unet_pb2
from gateway.dialects.coercion import missing
from gateway.dialects.enterprise_call import Call, Function, done
from mesh.errors import NotFound


async def get_all_models(call: Call) -> dict[str, Any]:
    """Every loaded model and when it came."""
    models = (await call.parts.catalogue.offer()).models
    listed = [{"load_data": f"{_loaded_at(model):%m/%d/%Y %H:%M:%S}", "model_id": model.name} for model in models]
    return {"models": listed, "status": "success"}


async def verify_model(call: Call) -> dict[str, Any]:
    """Whether a model is loaded."""
    if await _find(call) is None:
        raise NotFound("Model does not exist on server")
    return done("Model exists on server")


async def model_reload(call: Call) -> dict[str, Any]:
    """Wake a model; here a model that is loaded never sleeps."""
    if await _find(call) is None:
        raise NotFound("Model id not found")
    return done("Model is loaded")


async def model_list(call: Call) -> list[dict[str, Any]]:
    """Every loaded model as a bare list, as the vendor has it."""
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
        for model in (await call.parts.catalogue.offer()).models
    ]


async def _find(call: Call) -> unet_pb2.Model | None:
    asked = call.fields.text("model_id").strip()
    if not asked:
        raise missing("model_id")
    offer = await call.parts.catalogue.offer()
    return offer.model(call.parts.settings.aliases().get(asked, asked))


def _loaded_at(model: unet_pb2.Model) -> datetime:
    return datetime.fromtimestamp(model.exported_at, UTC)


def _description(model: unet_pb2.Model) -> str:
    controls = f"controls: {', '.join(model.controls)}" if model.controls else "no controls"
    return f"A model of the family {model.family} for {model.native_size} x {model.native_size} pixels; {controls}."


FUNCTIONS: Mapping[str, Function] = {
    function.__name__: function for function in (get_all_models, verify_model, model_reload, model_list)
}
