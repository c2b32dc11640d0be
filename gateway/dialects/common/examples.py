"""Examples for a dialect's API documentation; `python -m local docs` generates them from the golden pairs."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import orjson


class Examples:
    """The examples of one dialect.

    Args:
        package: the dialect's package, with the file examples.json.
    """

    def __init__(self, package: str) -> None:
        self._operations: Mapping[str, Any] = orjson.loads((files(package) / "examples.json").read_bytes())

    def requests(self, method: str, path: str) -> dict[str, dict[str, Any]]:
        """OpenAPI's `examples` of a route's requests: name -> `summary` and `value`."""
        found: dict[str, dict[str, Any]] = self._operations[f"{method} {path}"]["requests"]
        return found

    def request_body(self, method: str, path: str) -> dict[str, Any]:
        """OpenAPI's `requestBody` for a route whose handler parses its request itself."""
        examples = self.requests(method, path)
        return {"requestBody": {"required": True, "content": {"application/json": {"examples": examples}}}}

    def answer(self, method: str, path: str, status: int = 200) -> Any:
        """The example of an answer's body."""
        return self._operations[f"{method} {path}"]["answers"][str(status)]
