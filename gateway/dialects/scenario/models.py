"""The Scenario dialect's models: the loaded models, by name and by the deployment's aliases, with their inputs.

`inputs` describes the newer route's fields, for clients that render a form from it. A model's times are the
modification time of its card's file, set at export, which is the same for all gateways over one repository; copies of
a repository should preserve modification times.
"""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from controlmesh.v1 import unet_pb2
from families.limits import FRACTION, GUIDANCE, PROMPT_CHARACTERS, SAMPLES, SEED, SIDE, STEPS, STRENGTH, Range
from gateway.dialects.scenario import answers, lists, modality
from gateway.dialects.scenario.declared import SIZE, STEPS_DEFAULT, STRENGTH_DEFAULT
from gateway.dialects.scenario.resource import Resource, Table
from gateway.dialects.scenario.routes import ROUTES, Route
from gateway.generation.catalogue import Offer
from mesh.errors import InvalidInput, NotFound

MOST_LISTED = 500
_PAGE_SIZE = 100


class ScenarioModels(Resource):
    """Routes of models."""

    def table(self) -> Table:
        return (
            ("GET", "/models", self._list),
            ("POST", "/models/get-bulk", self._several),
            ("GET", "/models/{id}", self._show),
        )

    async def _list(self, request: Request) -> Response:
        """The loaded models, by name."""
        owner, (offer, known) = self._owner(request), await self._known()
        types, size = lists.words(request, "types", "type"), lists.page_size(request, MOST_LISTED, _PAGE_SIZE)
        token = request.query_params.get("paginationToken")
        if token and token not in known:
            raise InvalidInput('"paginationToken" must be one that a list returned', field="paginationToken")
        ids = sorted(id for id, name in known.items() if not types or modality.family_of(offer, name).type in types)
        rest = [id for id in ids if not token or id > token]
        models = [_body(request, owner, offer, id, known[id]) for id in rest[:size]]
        more = {"nextPaginationToken": rest[size - 1]} if len(rest) > size else {}
        return answers.respond({"models": models} | more)

    async def _show(self, request: Request) -> Response:
        """A model, with the inputs of the newer route."""
        owner, (offer, known) = self._owner(request), await self._known()
        asked = request.path_params["id"]
        if asked not in known:
            raise NotFound(f"Model {asked[:80]} not found")
        return answers.respond({"model": _body(request, owner, offer, asked, known[asked])})

    async def _several(self, request: Request) -> Response:
        """Models by id; unknown ones are left out."""
        owner = self._owner(request)
        fields = await self._fields(request)
        asked = dict.fromkeys(fields.texts("modelIds"))
        minimal, (offer, known) = fields.flag("minimal"), await self._known()
        found = [_body(request, owner, offer, id, known[id]) for id in asked if id in known]
        if minimal:
            found = [{name: body[name] for name in ("id", "name", "type")} for body in found]
        return answers.respond({"models": found})

    async def _known(self) -> tuple[Offer, dict[str, str]]:
        """The catalogue's offer, and id -> name of the loaded model."""
        offer = await self._gateway.catalogue.offer()
        loaded = {model.name: model.name for model in offer.models}
        aliases = {id: name for id, name in self._gateway.settings.aliases().items() if name in loaded}
        return offer, {**aliases, **loaded}


def _body(request: Request, owner: str, offer: Offer, id: str, name: str) -> dict[str, Any]:
    family, loaded = modality.family_of(offer, name), offer.model(name)
    exported = answers.moment(datetime.fromtimestamp(loaded.exported_at if loaded is not None else 0, UTC))
    return {
        "id": id,
        "name": id,
        "type": family.type,
        "status": "trained",
        "source": "other",
        "privacy": "private",
        "custom": False,
        "shortDescription": f"{name}, served here" if id == name else f"{name}, served here under this name",
        "capabilities": [route.name.replace("-", "_") for route in ROUTES.values() if _serves(route, loaded)],
        "collectionIds": [],
        "exampleAssetIds": [],
        "tags": [],
        "trainingImagesNumber": 0,
        "authorId": answers.author(owner),
        "ownerId": answers.project(request, owner),
        "createdAt": exported,
        "updatedAt": exported,
        "inputs": _inputs(offer, name),
    }


def _serves(route: Route, model: unet_pb2.Model | None) -> bool:
    """Whether requests of a route can have all that the model needs, and the model all that they need."""
    if model is None:
        return not route.controlled
    lacks = (model.limits.needs_mask and not route.masked) or (model.limits.own_control and not route.controlled)
    return not lacks and (bool(model.controls) or not route.controlled)


def _inputs(offer: Offer, name: str) -> list[dict[str, Any]]:
    """The newer route's fields for the model, for forms."""
    family = modality.family_of(offer, name)
    names = modality.available(offer, name)
    schedulers = [one.name for one in offer.schedulers if not one.inverts]
    steering: list[dict[str, Any]] = [
        {**_picture("controlImage", "Control image"), "description": "The picture that steers the generation."},
        {
            "name": "controlModality",
            "type": "string",
            "label": "Control modality",
            "allowedValues": names,
            "required": {"ifDefined": {"controlImage": "A control image needs a modality."}},
        },
        _number("controlStrength", "Control strength", FRACTION, 1, 0.05),
        _number("controlStart", "Control start", FRACTION, 0, 0.05),
        _number("controlEnd", "Control end", FRACTION, 1, 0.05),
        {
            "name": "disableModalityDetection",
            "type": "boolean",
            "label": "The control image is a map already",
            "default": family.takes_maps,
        },
    ]
    return [
        {
            "name": "prompt",
            "type": "string",
            "label": "Prompt",
            "prompt": True,
            "maxLength": PROMPT_CHARACTERS,
            "required": {"always": True},
        },
        {"name": "negativePrompt", "type": "string", "label": "Negative prompt", "maxLength": PROMPT_CHARACTERS},
        *(steering if names else ()),
        {**_picture("image", "Image"), "description": "The initial picture.", "parent": True},
        {**_picture("mask", "Mask"), "description": "White marks what to repaint.", "maskFrom": "image"},
        _number("strength", "Strength", STRENGTH, STRENGTH_DEFAULT, 0.01),
        _number("width", "Width", SIDE, SIZE, SIDE.multiple),
        _number("height", "Height", SIDE, SIZE, SIDE.multiple),
        _number("numSamples", "Pictures", SAMPLES, 1, 1),
        _number("guidance", "Guidance", GUIDANCE, family.guidance, 0.1),
        _number("numInferenceSteps", "Steps", STEPS, STEPS_DEFAULT, 1),
        {"name": "scheduler", "type": "string", "label": "Scheduler", "allowedValues": schedulers},
        {"name": "seed", "type": "number", "label": "Seed", "min": SEED.minimum, "max": SEED.maximum, "step": 1},
    ]


def _number(name: str, label: str, limits: Range, default: float, step: float) -> dict[str, Any]:
    ends = {"min": limits.minimum, "max": limits.maximum}
    return {"name": name, "type": "number", "label": label, **ends, "step": step, "default": default}


def _picture(name: str, label: str) -> dict[str, Any]:
    return {"name": name, "type": "file", "kind": "image", "label": label}
