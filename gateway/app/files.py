"""Routes of files: reading them, and uploading parts."""

import pybase64
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.bootstrap import Gateway
from gateway.files import uploads
from gateway.files.assets import PATH, Elsewhere
from gateway.files.names import MEDIA_TYPES
from gateway.web import bodies, problem
from gateway.web.bodies import Sender
from mesh.errors import NotFound

_BASE64 = ".base64"
_PICTURE = {
    "description": "The file.",
    "content": {media: {"schema": {"type": "string"}} for media in (*MEDIA_TYPES.values(), "text/plain")},
}
_AWAY = {"description": "The file is at another URL."}


def asset_routes(gateway: Gateway) -> APIRouter:
    """Routes without a key: an unguessable name or a signed link is the permission."""
    router = APIRouter(tags=["operation"])

    @router.get(PATH + "/{name}", response_class=Response, responses={**problem.RESPONSES, 200: _PICTURE, 307: _AWAY})
    async def asset(name: str, expires: str | None = None, signature: str | None = None) -> Response:
        """A stored picture; its unguessable name, or a signed link, is the permission to read it. With `.base64` after
        the name: the same as base64 text."""
        encoded, name = name.endswith(_BASE64), name.removesuffix(_BASE64)
        found = await gateway.assets.serve(name, expires, signature)
        headers = {
            "Cache-Control": f"private, max-age={int(gateway.settings.retention_s)}, immutable",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        if encoded:
            content = found.content if not isinstance(found, Elsewhere) else (await gateway.assets.get(name)).content
            return Response(pybase64.b64encode(content), 200, headers, "text/plain")
        if isinstance(found, Elsewhere):
            # The target may change during the life of a link.
            return RedirectResponse(found.url, 307, {**headers, "Cache-Control": "private, no-store"})
        return Response(found.content, 200, headers, found.media_type)

    @router.put(uploads.PATH + "/{id}/parts/{number}", status_code=204, responses=problem.RESPONSES)
    async def upload_part(
        request: Request, id: str, number: str, expires: str | None = None, signature: str | None = None
    ) -> Response:
        """Upload a part as the body, to the signed link that the upload returned for it."""
        if not (number.isascii() and number.isdigit() and len(number) <= 4):
            raise NotFound("unknown part")
        largest = await gateway.uploads.part_limit(id, int(number), expires, signature)
        try:
            sender = Sender(counts=gateway.keys.asked_for)
            content = await bodies.read(request, gateway.bodies, largest=largest, sender=sender)
            await gateway.uploads.put_part(id, int(number), content, expires, signature)
        finally:
            bodies.release(request)
        return Response(status_code=204)

    return router
