"""Files in the native API: uploaded pictures, which requests can refer to, and results of generations."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.bootstrap import Gateway
from gateway.dialects.common.dialect import base_url
from gateway.dialects.common.request import (
    FileOrJson,
    body_of,
    declared_json,
    fields_of,
    media_type_of,
    naming_label,
    owner_of,
)
from gateway.dialects.native.body import given, next_link, refuse_unknown, respond
from gateway.dialects.native.docs.requests import EXPIRES_S, AssetBody
from gateway.dialects.native.request import limit
from gateway.files.names import unknown
from gateway.files.records import AssetRecord
from gateway.generation.checks import number, text
from gateway.web.malformed import Malformed
from gateway.web.urlencoded import URLENCODED
from mesh.errors import InvalidInput, NotFound

UPLOADED = "uploaded"
REFERENCE = "asset:"
"""Prefix of picture fields that refer to a stored file."""

_LONGEST_REFERENCE = 256
_FIELDS = frozenset(AssetBody.model_fields)
_FORM = "multipart/form-data"
# Bytes of a body by which a form is told from a file under a form's label, which is curl's for every file.
_LOOKED_AT = 64


async def picture(gateway: Gateway, value: object, field: str, owner: str) -> bytes:
    """The encoded picture that `value` holds or refers to, as in gateway.generation.pictures, or a file of the owner's.

    Raises:
        InvalidInput: not a picture, or not available.
    """
    if not isinstance(value, str) or not value[:_LONGEST_REFERENCE].strip().startswith(REFERENCE):
        return await gateway.pictures.read(value, field)
    try:
        record = await gateway.assets.record(value.strip().removeprefix(REFERENCE), owner)
        content = (await gateway.assets.get(record.id)).content
    except NotFound:
        raise InvalidInput(
            f"{field} refers to an unknown or expired file; GET /controlmesh/v1/assets lists yours", field=field
        ) from None
    return await gateway.pictures.read(content, field)


class NativeAssets:
    """The routes of the native dialect that store, list and delete files.

    Args:
        gateway: its parts.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def keep(self, request: Request) -> Response:
        """Store a picture, to refer to as `asset:ID` in requests. Storing it again returns the same file."""
        owner = self._owner(request)
        settings: Mapping[str, Any] = {}
        scan = FileOrJson(media_type_of(request))
        with naming_label(request):
            body = await body_of(self._gateway, request, scan)
            sent = None if scan.is_file else await fields_of(scan, body)
        # A file is kept by what its bytes are: labels say image/jpg, application/octet-stream or nothing at all.
        if sent is None:
            _refuse_form(media_type_of(request), body)
            content = await self._gateway.pictures.read(body, "image")
        else:
            declared_json(self._gateway, request)
            settings = _settings(sent)
            content = await picture(self._gateway, settings["image"], "image", owner)
        kept = await self._gateway.assets.keep(
            content, owner, source=UPLOADED, name=settings.get("name", ""), expires_s=settings.get("expires_s")
        )
        (record,) = await self._records(request, [kept])
        return respond(record, 201, {"Location": f"{request.url.path}/{kept.id}/record"})

    async def show(self, request: Request) -> Response:
        """The record of a file."""
        record = await self._gateway.assets.record(request.path_params["id"], self._owner(request))
        return respond((await self._records(request, [record]))[0])

    async def page(self, request: Request) -> Response:
        """Your files, newest first: uploaded ones and results of generations."""
        owner = self._owner(request)
        query = request.query_params
        found = await self._gateway.assets.page(owner, limit(request), query.get("after"), query.getlist("source"))
        content = {"assets": await self._records(request, found.records), "next": found.next}
        return respond(content, headers=next_link(request, found.next))

    async def drop(self, request: Request) -> Response:
        """Delete one of your files."""
        if not await self._gateway.assets.drop([request.path_params["id"]], self._owner(request)):
            raise unknown()
        return Response(status_code=204)

    async def _records(self, request: Request, records: Sequence[AssetRecord]) -> list[dict[str, Any]]:
        links = await self._gateway.assets.urls(base_url(self._gateway, request), [record.id for record in records])
        return [_record(record, link) for record, link in zip(records, links, strict=True)]

    def _owner(self, request: Request) -> str:
        return owner_of(self._gateway, request)


def _refuse_form(label: str, body: bytes) -> None:
    """Refuse a form, which is neither a file nor JSON. Malformed."""
    begins = body[:_LOOKED_AT].lstrip()
    of_parts = label == _FORM and begins.startswith(b"--")
    of_text = label == URLENCODED and begins and begins.isascii() and begins.decode().isprintable()
    if of_parts or of_text:
        raise Malformed(
            f"forms are not taken here; it was sent with the Content-Type {label!r}: send the file's bytes as the body "
            "(curl --data-binary @FILE), or a JSON object with the picture in image as application/json"
        )


def _settings(body: Mapping[str, Any]) -> dict[str, Any]:
    refuse_unknown(body, _FIELDS)
    sent = given(body)
    if "image" not in sent:
        raise InvalidInput("image is missing; send a picture: base64, a data URL or an http(s) URL", field="image")
    if "name" in sent:
        text("name", sent["name"])
    if "expires_s" in sent:
        number(EXPIRES_S)("expires_s", sent["expires_s"])
    return sent


def _record(record: AssetRecord, link: str) -> dict[str, Any]:
    return {
        "id": record.id,
        "url": link,
        "name": record.name,
        "media_type": record.media_type,
        "width": record.width,
        "height": record.height,
        "size": record.size,
        "sha256": record.sha256,
        "source": record.source,
        "generation": record.job_id or None,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
    }
