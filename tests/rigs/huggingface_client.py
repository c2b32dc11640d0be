"""A client of the Hugging Face dialect: the published request, asking, being refused."""

import base64
from typing import Any

import numpy as np

from mesh.pictures import encode
from tests.contract.conftest import Running

CONTENT = encode(np.zeros((64, 96, 3), np.uint8))
PICTURE = base64.b64encode(CONTENT).decode()
CONTROL = encode(np.full((64, 64, 3), 20, np.uint8))
MASK = encode(np.full((64, 64, 3), 255, np.uint8))
SENT = {content: base64.b64encode(content).decode() for content in (CONTROL, MASK)}
# The request of the published client, with the one control that can be extracted here.
PAYLOAD: dict[str, Any] = {
    "inputs": "stone cottage by a lake at dusk",
    "image": PICTURE,
    "negative_prompt": None,
    "controlnet_type": "canny_edge",
}
PNG = {"Accept": "image/png"}


async def refused(mesh: Running, status: int = 400, path: str = "/", **request: Any) -> str:
    """The error's text, its shape checked."""
    async with mesh.http.post(path, **request) as response:
        assert response.status == status, await response.text()
        assert response.content_type == "application/json"
        body = await response.json()
        assert list(body) == ["error"] and isinstance(body["error"], str)
        assert await mesh.gateway.jobs.load() == (0, 0)
        text: str = body["error"]
        return text


async def posted(mesh: Running, body: dict[str, Any], path: str = "/") -> bytes:
    """The picture that `body` gets."""
    async with mesh.http.post(path, json=body, headers=PNG) as response:
        assert response.status == 200, await response.text()
        return await response.read()
