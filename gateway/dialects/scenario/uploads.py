"""The Scenario dialect's multipart uploads: announce, send parts to signed links, complete.

Source: the vendor's SDK. The picture becomes an asset, whose id is the upload's `entityId`.
"""

import re
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.dialects.common.dialect import base_url
from gateway.dialects.scenario import answers
from gateway.dialects.scenario.declared import ELSEWHERE, elsewhere
from gateway.dialects.scenario.fields import wrong
from gateway.dialects.scenario.resource import Resource, Table, is_dry
from gateway.files.uploads import Upload
from mesh.errors import NotEnabled, NotFound

_ID = re.compile(r"upload_([0-9a-f]{32})")


class ScenarioUploads(Resource):
    """Routes of uploads."""

    def table(self) -> Table:
        return (
            ("POST", "/uploads", self._create),
            ("GET", "/uploads/{id}", self._show),
            ("POST", "/uploads/{id}/action", self._act),
        )

    async def _create(self, request: Request) -> Response:
        """Announce a picture; the answer has a link for each part, to PUT it to without a key."""
        owner, fields = self._owner(request), await self._fields(request)
        if named := next((name for name in ELSEWHERE if fields.raw(name)), None):
            raise NotEnabled(elsewhere(named))
        kind, file_name = fields.required("kind"), fields.required("fileName")
        if kind not in ("image", "asset"):
            raise NotEnabled(f"uploads of kind {kind[:40]} are not enabled on this server; send an image")
        size = fields.whole("fileSize")
        parts = fields.whole("parts")
        content_type = fields.required("contentType")
        if is_dry(request):
            return answers.respond(answers.COST, answers.DRY_RUN)
        begun = await self._gateway.uploads.begin(
            base_url(self._gateway, request),
            owner,
            kind="image",
            file_name=file_name,
            size=size,
            content_type=content_type,
            parts=parts,
        )
        return answers.respond({"upload": _body(request, begun), **answers.COST})

    async def _show(self, request: Request) -> Response:
        """The state of an upload."""
        owner, id = self._owner(request), _named(request)
        try:
            found = await self._gateway.uploads.get(base_url(self._gateway, request), id, owner)
        except NotFound:
            raise _unknown(request) from None
        return answers.respond({"upload": _body(request, found)})

    async def _act(self, request: Request) -> Response:
        """Complete an upload: assemble the parts to an asset."""
        owner, id, fields = self._owner(request), _named(request), await self._fields(request)
        action = fields.required("action")
        if action != "complete":
            raise wrong("action", "complete", action)
        try:
            done = await self._gateway.uploads.complete(base_url(self._gateway, request), id, owner)
        except NotFound:
            raise _unknown(request) from None
        return answers.respond({"upload": _body(request, done)})


def _named(request: Request) -> str:
    if found := _ID.fullmatch(request.path_params["id"]):
        return found[1]
    raise _unknown(request)


def _unknown(request: Request) -> NotFound:
    return NotFound(f"Upload {request.path_params['id'][:80]} not found")


def _body(request: Request, upload: Upload) -> dict[str, Any]:
    record = upload.record
    at = answers.moment(record.created_at)
    parts = [
        {"number": part.number, "url": part.url, "expires": answers.moment(datetime.fromtimestamp(part.expires, UTC))}
        for part in upload.parts
    ]
    ended = {"entityId": answers.asset_id(record.asset)} if record.asset else {}
    failed = {"errorMessage": record.error} if record.error else {}
    return {
        "id": f"upload_{upload.id}",
        "kind": "image",
        "source": "multipart",
        "status": upload.status,
        "fileName": record.file_name,
        "originalFileName": record.file_name,
        "fileSize": record.size,
        "contentType": record.media_type,
        "partsCount": record.parts,
        "parts": parts,
        "config": {},
        "authorId": answers.author(record.owner),
        "ownerId": answers.project(request, record.owner),
        "createdAt": at,
        "updatedAt": at,
        **ended,
        **failed,
    }
