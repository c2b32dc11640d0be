"""Builds requests to the native API, decides on retries, and parses answers. No I/O happens here."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urljoin

from controlmesh_client.messages import Answer, Call, Cut, Pause, Send, Steps
from controlmesh_client.patience import Patience, retry_after_s
from controlmesh_client.pictures import Picture
from controlmesh_client.problems import NoAnswer, UnexpectedAnswer, problem_of
from controlmesh_client.version import VERSION

PREFIX = "/controlmesh/v1"
KEY_HEADER = "idempotency-key"
_SHOWN = 200


class Calls:
    """Requests to a mesh.

    Args:
        url: URL of the mesh; a path in it is the prefix of the native API's paths.
        key: API key; None for none.
        patience: retry policy.
        clock: monotonic time in seconds.
        chance: returns a random number from 0 to 1.

    Raises:
        ValueError: `url` is not an http(s) URL.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        patience: Patience,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        if not url.lower().startswith(("http://", "https://")):
            raise ValueError(f"the mesh's URL must begin with http:// or https://, not {url[:80]!r}")
        self.url = url.rstrip("/")
        self.clock = clock
        self._patience = patience
        self._chance = chance
        self._headers = {"user-agent": f"controlmesh-client/{VERSION}"}
        self._own_headers = self._headers | ({"authorization": f"Bearer {key}"} if key else {})

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> Call:
        """Build a request to the native API.

        Args:
            method: HTTP method.
            path: path below PREFIX.
            query: query parameters; None is left out, a list is repeated.
            body: body, sent as JSON.
            headers: additional headers.
            timeout_s: timeout in seconds without any data from the server.

        Raises:
            TypeError: `body` can't be encoded as JSON.
        """
        known = {name: value for name, value in (query or {}).items() if value is not None}
        url = f"{self.url}{PREFIX}{path}" + (f"?{urlencode(known, doseq=True)}" if known else "")
        sent = {**self._own_headers, "accept": "application/json", **(headers or {})}
        if body is None:
            return Call(method, url, sent, timeout_s=timeout_s)
        content = json.dumps(body, separators=(",", ":"), default=_plain).encode()
        return Call(method, url, {**sent, "content-type": "application/json"}, content, timeout_s)

    def asked(self, call: Call, until: float | None = None) -> Steps[Answer]:
        """The answer to `call`, with retries.

        Args:
            call: must have an idempotency key if it must not be executed twice.
            until: time of the clock after which there are no more attempts.

        Raises:
            Problem: refused, or failed permanently.
            NoAnswer: no complete answer.
        """
        tried = 0
        while True:
            given: Answer | Cut = yield Send(call)
            tried += 1
            if isinstance(given, Answer) and given.status < 300:
                return given
            yield from self.pause(given, tried, until)

    def pause(self, given: Answer | Cut, tried: int, until: float | None = None) -> Steps[None]:
        """Wait until the next attempt; if there is none, raise the error for `given`."""
        pause_s = self._patience.pause_s(given, tried, self._chance())
        if pause_s is None or (until is not None and self.clock() + pause_s > until):
            raise self._error(given)
        yield Pause(pause_s)

    def json(self, call: Call, until: float | None = None) -> Steps[Any]:
        """The JSON object in the answer to `call`. Raises as `asked`, and UnexpectedAnswer."""
        answer = yield from self.asked(call, until)
        return object_in(answer)

    def listed(self, path: str, query: Mapping[str, Any] | None = None) -> Steps[Any]:
        """The JSON object at `path`."""
        return (yield from self.json(self.call("GET", path, query=query)))

    def file(self, url: str) -> Steps[Picture]:
        """The picture at `url`, which may be relative or on another server: the key is not sent."""
        call = Call("GET", urljoin(f"{self.url}/", url), self._headers, follows=True)
        answer = yield from self.asked(call)
        return Picture(answer.content, answer.headers.get("content-type", "").partition(";")[0].strip())

    def _error(self, given: Answer | Cut) -> Exception:
        if isinstance(given, Cut):
            return NoAnswer(f"no answer from {self.url}: {given.reason}")
        if given.status < 400:
            place = given.headers.get("location", "elsewhere")[:_SHOWN]
            return UnexpectedAnswer(f"{self.url} redirects to {place}; use the URL of the mesh itself")
        return problem_of(given, retry_after_s(given.headers))


def segment(id: str) -> str:
    """An id, quoted as a part of a path."""
    return quote(id, safe="")


def object_in(answer: Answer) -> Any:
    """The JSON object in an answer. UnexpectedAnswer."""
    try:
        content = json.loads(answer.content)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        words = answer.content[:_SHOWN].decode("utf-8", "replace")
        raise UnexpectedAnswer(f"the answer is not a JSON object; is this the URL of a mesh? It begins with {words!r}")
    return content


def _plain(value: object) -> Any:
    """A NumPy number as a Python number."""
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(f"{type(value).__name__} can't be sent as JSON")
    return item()
