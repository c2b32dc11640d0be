"""The pages under /docs: Swagger UI for the OpenAPI descriptions, with everything served from this origin."""

import gzip
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from mesh.errors import NotFound

VIEWER = "/docs/viewer"
"""Path of the viewer's files."""
HEADERS = {
    # Scripts only from the viewer's files, requests only to this origin. Swagger UI sets inline styles.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}
_STYLE = "body { font: 15px/1.5 system-ui, sans-serif; margin: 0 } nav { padding: .5rem 1.25rem }"
_TYPES: Mapping[str, str] = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "start.js": "text/javascript",
}


def render(title: str, name: str, names: Sequence[str]) -> str:
    """The HTML page of the API `name`, whose OpenAPI document the viewer fetches, with links to all `names`."""
    links = ", ".join(f"<a href='/docs/{other}'>{escape(other)}</a>" for other in names)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><style>{_STYLE}</style>'
        f'<link rel="stylesheet" href="{VIEWER}/swagger-ui.css">'
        f"<nav>All APIs: {links}. For programs: <a href='/openapi/{name}.json'>/openapi/{name}.json</a></nav>"
        f'<div id="viewer" data-description="/openapi/{name}.json"></div>'
        f'<script src="{VIEWER}/swagger-ui-bundle.js"></script><script src="{VIEWER}/start.js"></script></html>'
    )


async def viewer(request: Request) -> Response:
    """One of the viewer's files.

    Raises:
        NotFound: unknown file.
    """
    name = request.path_params["file"]
    if name not in _TYPES:
        raise NotFound("unknown file of the viewer")
    folder = files("gateway.app") / "viewer"
    headers = {"Cache-Control": "max-age=3600", "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
    packed = folder / f"{name}.gz"
    if not packed.is_file():
        content = (folder / name).read_bytes()
    elif "gzip" in request.headers.get("accept-encoding", ""):
        content = packed.read_bytes()
        headers["Content-Encoding"] = "gzip"
    else:
        content = gzip.decompress(packed.read_bytes())
    return Response(content, media_type=_TYPES[name], headers=headers)
