"""Requests with a key in each place where a dialect takes one."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.rigs.enterprise_client import PATH as ENTERPRISE
from tests.rigs.enterprise_client import PICTURE, SAMPLE

NATIVE = "/controlmesh/v1/generations"
SCENARIO = "/v1/models"


@dataclass(frozen=True)
class Carried:
    """A request with a key in one place, where KEY stands for it.

    Attributes:
        words: in the answer to a wrong key.
        basic: user and password of Basic authorization.
    """

    method: str
    path: str
    words: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    basic: str = ""

    async def ask(self, http: aiohttp.ClientSession, key: str) -> tuple[int, str, Mapping[str, str]]:
        """Send it; status, text and headers of the answer."""
        headers = {name: value.replace("KEY", key) for name, value in self.headers.items()}
        if self.basic:
            pair = base64.b64encode(self.basic.replace("KEY", key).encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        body = self.body and {name: key if value == "KEY" else value for name, value in self.body.items()}
        path = self.path.replace("KEY", key)
        async with http.request(self.method, path, json=body, headers=headers) as response:
            return response.status, await response.text(errors="replace"), response.headers


BEARER = {"Authorization": "Bearer KEY"}
HUGGING_FACE = {"inputs": "a boat", "image": PICTURE, "controlnet_type": "canny_edge"}
SENT = {**SAMPLE, "model_id": "demo", "key": ""}
WRONG = "Invalid Api Key"
CARRIED = {
    "native, Bearer": Carried("POST", NATIVE, '"status":401', {"prompt": "a boat"}, BEARER),
    "Hugging Face, Bearer": Carried("POST", "/", "Invalid or missing token", HUGGING_FACE, BEARER),
    "enterprise, in the body": Carried("POST", ENTERPRISE, WRONG, {**SENT, "key": "KEY"}),
    "enterprise, in a header": Carried("POST", ENTERPRISE, WRONG, SENT, {"key": "KEY"}),
    "enterprise, Bearer": Carried("POST", ENTERPRISE, WRONG, SENT, BEARER),
    "enterprise, polling by GET": Carried("GET", "/api/v7/images/fetch/123456789?key=KEY", WRONG),
    "Scenario, Basic with a password": Carried("GET", SCENARIO, '"reason"', basic="any:KEY"),
    "Scenario, Basic without one": Carried("GET", SCENARIO, '"reason"', basic="KEY:"),
    "Scenario, Bearer": Carried("GET", SCENARIO, '"reason"', headers=BEARER),
}
