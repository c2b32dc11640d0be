"""JSON bodies of the native API: requests with known fields only, answers, links to pages."""

from collections.abc import Collection, Mapping
from typing import Any

import orjson
import pybase64
from starlette.requests import Request
from starlette.responses import Response

from gateway.generation.foreign import choices
from mesh.errors import InvalidInput

MEDIA_TYPE = "application/json"


def given(body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` without fields that are null, which is the same as leaving them out."""
    return {name: value for name, value in body.items() if value is not None}


def refuse_unknown(body: Mapping[str, Any], known: Collection[str], at: str = "") -> None:
    """Raise InvalidInput for the first name in `body` that is not `known`; `at` is the path of the object."""
    for name in body:
        if name not in known:
            field = f"{at}.{name}" if at else name
            shown = repr(field if len(field) <= 80 else field[:77] + "...")
            raise InvalidInput(
                f"{shown} is not a field of this request{choices('field', name, sorted(known))}", field=field
            )


def png_url(content: bytes) -> str:
    """A PNG file as a data URL."""
    return f"data:image/png;base64,{pybase64.b64encode_as_string(content)}"


def respond(content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`content` as a response."""
    return Response(orjson.dumps(content), status, headers, MEDIA_TYPE)


def next_link(request: Request, cursor: str | None) -> dict[str, str]:
    """The Link header (RFC 8288) to a list's next page; none on the last page."""
    if cursor is None:
        return {}
    return {"Link": f'<{request.url.include_query_params(after=cursor)}>; rel="next"'}
