"""Hints without a generation in the native API: one as PNG or JSON, several as JSON."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from families.limits import MOST_HINTS
from gateway.bootstrap import Gateway
from gateway.dialects.common import notes
from gateway.dialects.common.request import json_of, owner_of
from gateway.dialects.common.wording import renamed
from gateway.dialects.native import body as native_json
from gateway.dialects.native.assets import picture
from gateway.dialects.native.docs.requests import HintBatchBody, HintBody
from gateway.dialects.native.docs.routes import ANNOTATOR_HEADER, EXTRACTOR_HEADER
from gateway.generation.checks import wrong
from gateway.generation.declared import fields_of, pictures_of
from gateway.generation.generation import MOST_PICTURE_BYTES, Control
from gateway.generation.hints import Hint, HintRequest
from gateway.web.accept import negotiate
from gateway.web.disconnect import while_connected
from gateway.web.malformed import Malformed
from mesh.concurrency import together
from mesh.errors import InvalidInput, MeshError
from mesh.quantities import sized

_PNG = "image/png"
_FIELDS = frozenset(HintBody.model_fields)
_BATCH_FIELDS = frozenset(HintBatchBody.model_fields)
_PICTURES = pictures_of(Control)
_SIZE = frozenset(field.name for field, _ in fields_of(HintRequest))
# Prefix of fields in preprocess_svc's errors: its request has one control.
_CONTROL = "control."

_Sent = Sequence[tuple[str, Mapping[str, Any]]]
"""The requests for single hints, and the prefixes of their fields in errors."""


class NotAcceptable(Malformed):
    """The Accept header excludes every media type that this request can return."""

    status = 406


class NativeHints:
    """The hint route of the native dialect.

    Args:
        gateway: its parts.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def make(self, request: Request) -> Response:
        """Make hints without a generation: one, as PNG or JSON by the Accept header, or several, as JSON."""
        owner = owner_of(self._gateway, request)
        body = await json_of(self._gateway, request)
        if body.get("hints") is not None:
            return await self._several(request, body, owner)
        return await self._one(request, body, owner)

    async def _one(self, request: Request, body: Mapping[str, Any], owner: str) -> Response:
        media_type = _negotiated(request, _PNG, native_json.MEDIA_TYPE)
        native_json.refuse_unknown(body, _FIELDS | _BATCH_FIELDS)
        ((asked, hint),) = await self._hints(request, [("", native_json.given(body))], owner)
        if media_type == _PNG:
            return Response(hint.content, 200, _headers(hint), _PNG)
        return native_json.respond(_answer(asked, hint))

    async def _several(self, request: Request, body: Mapping[str, Any], owner: str) -> Response:
        began = time.monotonic()
        _negotiated(request, native_json.MEDIA_TYPE)
        native_json.refuse_unknown(body, _BATCH_FIELDS)
        made = await self._hints(request, _listed(body["hints"]), owner)
        answers = [_answer(asked, hint) for asked, hint in made]
        return native_json.respond({"hints": answers, "duration_ms": _milliseconds(time.monotonic() - began)})

    async def _hints(self, request: Request, sent: _Sent, owner: str) -> list[tuple[HintRequest, Hint]]:
        """Make all requested hints concurrently; they are cancelled if the client disconnects."""
        # Check numbers and text of all first: they are cheap, while pictures may have to be fetched.
        outlines = [_outline(at, body) for at, body in sent]

        async def work() -> list[tuple[HintRequest, Hint]]:
            asked = await together(
                self._with_pictures(outline, at, body, owner)
                for outline, (at, body) in zip(outlines, sent, strict=True)
            )
            _check_bytes(asked)
            hints = await together(self._hint(one, at, owner) for one, (at, _) in zip(asked, sent, strict=True))
            return list(zip(asked, hints, strict=True))

        return await while_connected(request, work())

    async def _with_pictures(self, outline: HintRequest, at: str, body: Mapping[str, Any], owner: str) -> HintRequest:
        """`outline` with the pictures that `body` holds or refers to."""
        pictures: dict[str, Any] = {
            name: await picture(self._gateway, body[name], f"{at}{name}", owner) for name in _PICTURES if name in body
        }
        return replace(outline, control=replace(outline.control, **pictures))

    async def _hint(self, asked: HintRequest, at: str, owner: str) -> Hint:
        with _naming(at):
            return await self._gateway.hints.make(asked, owner, is_sole=not self._gateway.keys.asked_for)


def _negotiated(request: Request, *offered: str) -> str:
    """The negotiated media type; the first of `offered` if the client leaves the choice. NotAcceptable."""
    media_type = negotiate(request.headers.get("accept"), offered, offered[0])
    if media_type is None:
        raise NotAcceptable(f"Accept can't be satisfied; this request can return {' or '.join(offered)}")
    return media_type


def _listed(hints: object) -> _Sent:
    if not isinstance(hints, list):
        raise wrong("hints", f"a list of 1 to {MOST_HINTS} objects", hints)
    if not 0 < len(hints) <= MOST_HINTS:
        raise InvalidInput(f"hints has {len(hints)} entries; 1 to {MOST_HINTS} are taken", field="hints")
    for index, body in enumerate(hints):
        if not isinstance(body, dict):
            raise wrong(f"hints[{index}]", "an object", body)
        native_json.refuse_unknown(body, _FIELDS, f"hints[{index}]")
    return [(f"hints[{index}].", native_json.given(body)) for index, body in enumerate(hints)]


def _outline(at: str, body: Mapping[str, Any]) -> HintRequest:
    """The checked request with b"" in place of every picture."""
    if "kind" not in body:
        raise InvalidInput(f"{at}kind is missing; name the control, such as canny", field=f"{at}kind")
    fields: dict[str, Any] = {name: b"" if name in _PICTURES else value for name, value in body.items()}
    size = {name: fields.pop(name) for name in _SIZE if name in fields}
    with _naming(at):
        return HintRequest(Control(**fields), **size)


@contextmanager
def _naming(at: str) -> Iterator[None]:
    """Rename fields in errors to the client's names, with the prefix `at`."""
    try:
        yield
    except MeshError as error:
        field = error.field or ""
        raise renamed(error, {field: at + field.removeprefix(_CONTROL)}) from None


def _check_bytes(asked: Sequence[HintRequest]) -> None:
    size = sum(len(getattr(one.control, name) or b"") for one in asked for name in _PICTURES)
    if size > MOST_PICTURE_BYTES:
        raise InvalidInput(
            f"hints have {sized(size)} of pictures in total; at most {sized(MOST_PICTURE_BYTES)} are allowed",
            field="hints",
        )


def _answer(asked: HintRequest, hint: Hint) -> dict[str, Any]:
    return {
        "image": native_json.png_url(hint.content),
        "width": hint.width,
        "height": hint.height,
        "kind": asked.control.kind,
        "extractor": hint.extractor or None,
        "annotator": hint.annotator or None,
        "notes": list(hint.notes),
        "service_ms": _milliseconds(hint.service_seconds),
        "duration_ms": _milliseconds(hint.seconds),
    }


def _headers(hint: Hint) -> dict[str, str]:
    """Headers with the JSON's fields except the picture."""
    timing = f"hint;dur={_milliseconds(hint.service_seconds)}, total;dur={_milliseconds(hint.seconds)}"
    told = {
        EXTRACTOR_HEADER: hint.extractor,
        ANNOTATOR_HEADER: hint.annotator,
        "Server-Timing": timing,
    }
    return {name: value for name, value in told.items() if value} | notes.header(hint.notes)


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)
