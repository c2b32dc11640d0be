"""The enterprise dialect's functions to upload and delete pictures."""

import hashlib
from collections.abc import Mapping
from typing import Any

from gateway.dialects.enterprise.call import Call, Function, number_of
from gateway.dialects.enterprise.fields import missing
from gateway.files.records import AssetRecord
from gateway.generation.pictures import checked, decode_base64
from gateway.jobs.job import NUMBERS
from mesh.errors import InvalidInput, NotFound

MOST_BYTES = 5 * 1024 * 1024
"""Maximum size of a picture, as in the vendor's API."""
SOURCE = "enterprise_upload"
_TYPES = {"png": "PNG", "jpeg": "JPEG", "jpg": "JPEG"}
_DAY_S = 86_400.0
_LINK_S = 365 * _DAY_S
_AT_ONCE = 200


async def upload_image(call: Call) -> dict[str, Any]:
    """Store a base64 picture until it is deleted."""
    content = await _sent(call, "base64_image")
    asked = call.fields.text("image_type").strip().lower()
    if asked not in _TYPES:
        raise InvalidInput(f"image_type must be one of {', '.join(_TYPES)}.", field="image_type")
    record = await _kept(call, content, None)
    url = call.gateway.assets.url(call.base, record.id, _LINK_S)
    return {"status": "success", "message": "image uploaded", "image_url": url}


async def base64_to_url(call: Call) -> dict[str, Any]:
    """Store a base64 picture for 24 hours."""
    record = await _kept(call, await _sent(call, "base64_string"), _DAY_S)
    url = call.gateway.assets.url(call.base, record.id, _DAY_S)
    return {"status": "success", "id": id_of(record), "output": [url]}


async def base64_crop(call: Call) -> dict[str, Any]:
    """Store a base64 picture; with `crop`, only the square in its middle."""
    content = await _sent(call, "image")
    if call.fields.flag("crop"):
        content = await call.gateway.conversion.square(content)
    record = await _kept(call, content, None)
    url = call.gateway.assets.url(call.base, record.id, _LINK_S)
    return {"status": "success", "messege": "image uploaded", "link": url, "request_id": id_of(record)}


async def delete_image(call: Call) -> dict[str, Any]:
    """Delete the pictures of a request, or an uploaded one, by its `request_id`."""
    number = number_of(call.fields.required("request_id"))
    try:
        job = await call.gateway.jobs.find(number, call.owner)
        names = list(job.assets) if job.is_finished else []
    except NotFound:
        names = [record.id] if (record := await _uploaded(call, number)) else []
    if not names or not await call.gateway.assets.drop(names, call.owner):
        raise NotFound("Request not found")
    return {"status": "success", "messege": "image deleted"}


def id_of(record: AssetRecord) -> int:
    """The vendor's integer id for an uploaded picture, derived from its name, so that it need not be stored."""
    digest = hashlib.sha256(record.id.encode()).digest()
    return NUMBERS[int.from_bytes(digest[:8], "big") % len(NUMBERS)]


async def _sent(call: Call, name: str) -> bytes:
    value = call.fields.picture(name)
    if value is None:
        raise missing(name)
    if isinstance(value, str):
        value = decode_base64(value, name)
    if not isinstance(value, bytes):
        raise InvalidInput(f"{name} must be a picture as base64", field=name)
    if len(value) > MOST_BYTES:
        raise InvalidInput(f"{name} is larger than {MOST_BYTES} bytes; send a smaller picture", field=name)
    return await checked(value, name)


async def _kept(call: Call, content: bytes, expires_s: float | None) -> AssetRecord:
    return await call.gateway.assets.keep(content, call.owner, source=SOURCE, expires_s=expires_s)


async def _uploaded(call: Call, number: int) -> AssetRecord | None:
    after = None
    while True:
        page = await call.gateway.assets.page(call.owner, _AT_ONCE, after, (SOURCE,))
        found = next((record for record in page.records if id_of(record) == number), None)
        if found is not None or page.next is None:
            return found
        after = page.next


FUNCTIONS: Mapping[str, Function] = {
    function.__name__: function for function in (upload_image, base64_to_url, base64_crop, delete_image)
}
