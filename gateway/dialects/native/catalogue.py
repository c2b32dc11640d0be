"""The native API's lists of what requests can name: models, controls, schedulers, styles; and kinds of problems."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from controlmesh.v1 import unet_pb2
from gateway.bootstrap import Gateway
from gateway.dialects.common.request import owner_of
from gateway.dialects.native.body import respond
from gateway.generation.checks import identifier
from gateway.web import problem
from mesh.errors import NotFound


class NativeOffer:
    """The routes that list what a request can name.

    Args:
        gateway: its parts.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def models(self, request: Request) -> Response:
        """The loaded models."""
        self._owner(request)
        offer = await self._gateway.catalogue.offer()
        default = await self._gateway.catalogue.default_model()
        return respond({"models": [_model(model) for model in offer.models], "default": default})

    async def controls(self, request: Request) -> Response:
        """The control kinds, their extractors and parameters, and the models that support them."""
        self._owner(request)
        model = request.query_params.get("model")
        if model is not None:
            identifier("model", model)
        offer = await self._gateway.catalogue.offer()
        controls = offer.controls if model is None else offer.controls_of(model)
        return respond({"controls": [_plain(control) for control in controls]})

    async def styles(self, request: Request) -> Response:
        """The styles for prompts, and their words."""
        self._owner(request)
        offer = await self._gateway.catalogue.offer()
        return respond({"styles": [_plain(style) for style in offer.styles]})

    async def schedulers(self, request: Request) -> Response:
        """The schedulers and the options that each supports."""
        self._owner(request)
        offer = await self._gateway.catalogue.offer()
        return respond({"schedulers": [_plain(scheduler) for scheduler in offer.schedulers]})

    async def problems(self, request: Request) -> Response:
        """Every kind of error, by its type URL. Needs no key."""
        return respond({"problems": [_kind(kind) for kind in problem.KINDS]})

    async def problem(self, request: Request) -> Response:
        """A kind of error, at the URL in an error's `type`. Needs no key."""
        for kind in problem.KINDS:
            if kind.name == request.path_params["name"]:
                return respond(_kind(kind))
        raise NotFound(f"unknown kind of problem; GET {problem.PATH} lists the known ones")

    def _owner(self, request: Request) -> str:
        return owner_of(self._gateway, request)


def _kind(kind: problem.Kind) -> dict[str, Any]:
    return {"type": kind.type, "title": kind.title, "status": kind.status, "meaning": kind.meaning}


def _model(model: unet_pb2.Model) -> dict[str, Any]:
    plain = {**_plain(model), "exported_at": datetime.fromtimestamp(model.exported_at, UTC)}
    if not model.trained_sizes:
        # An older unet_svc says nothing of either.
        del plain["trained_sizes"]
    return plain


def _plain(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
