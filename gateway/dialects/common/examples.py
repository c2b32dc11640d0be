"""Examples for the documentation of a dialect, which `python -m local docs` makes from the golden pairs."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import orjson


class Examples:
    """Of one dialect.

    Args:
        package: the dialect's, which has the file examples.json.
    """

    def __init__(self, package: str) -> None:
        self._operations: Mapping[str, Any] = orjson.loads((files(package) / "examples.json").read_bytes())

    def requests(self, method: str, path: str) -> dict[str, dict[str, Any]]:
        """As OpenAPI shows several: by a name of each its `summary` and its `value`."""
        found: dict[str, dict[str, Any]] = self._operations[f"{method} {path}"]["requests"]
        return found

    def request_body(self, method: str, path: str) -> dict[str, Any]:
        """Documentation of a route whose handler reads its request itself."""
        examples = self.requests(method, path)
        return {"requestBody": {"required": True, "content": {"application/json": {"examples": examples}}}}

    def answer(self, method: str, path: str, status: int = 200) -> Any:
        """The body of an answer."""
        return self._operations[f"{method} {path}"]["answers"][str(status)]
