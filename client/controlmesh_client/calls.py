"""Requests to the native API and their answers, with the decision to ask again. Nothing is sent from here."""

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
    """Requests to one mesh.

    Args:
        url: where it is; what stands after the host is where the native API's own paths begin.
        key: of the API; None for none.
        patience: with what may pass.
        clock: seconds, of which only differences count.
        chance: a number from 0 to 1, another one every time.

    Raises:
        ValueError: `url` is none of HTTP.
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
            raise ValueError(f"the mesh's URL begins with http:// or https://, not as {url[:80]!r}")
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
        """A request to the native API.

        Args:
            method: of HTTP.
            path: below PREFIX.
            query: what is None is left out; a list stands for several.
            body: JSON.
            headers: beside the usual ones.
            timeout_s: seconds without a sign of the server.

        Raises:
            TypeError: `body` holds what is no JSON.
        """
        known = {name: value for name, value in (query or {}).items() if value is not None}
        url = f"{self.url}{PREFIX}{path}" + (f"?{urlencode(known, doseq=True)}" if known else "")
        sent = {**self._own_headers, "accept": "application/json", **(headers or {})}
        if body is None:
            return Call(method, url, sent, timeout_s=timeout_s)
        content = json.dumps(body, separators=(",", ":"), default=_plain).encode()
        return Call(method, url, {**sent, "content-type": "application/json"}, content, timeout_s)

    def asked(self, call: Call, until: float | None = None) -> Steps[Answer]:
        """The answer, after as many attempts as there is patience for.

        Args:
            call: it has a key of its own if it must not count twice.
            until: moment of the clock after which nothing is begun again.

        Raises:
            Problem: refused, or failed for good.
            NoAnswer: nothing that says what became of it.
        """
        tried = 0
        while True:
            given: Answer | Cut = yield Send(call)
            tried += 1
            if isinstance(given, Answer) and given.status < 300:
                return given
            yield from self.pause(given, tried, until)

    def pause(self, given: Answer | Cut, tried: int, until: float | None = None) -> Steps[None]:
        """Waits until it may be tried again; where it may not, raises what `given` stands for."""
        pause_s = self._patience.pause_s(given, tried, self._chance())
        if pause_s is None or (until is not None and self.clock() + pause_s > until):
            raise self._error(given)
        yield Pause(pause_s)

    def json(self, call: Call, until: float | None = None) -> Steps[Any]:
        """The object that the answer to `call` holds. As `asked`, and UnexpectedAnswer."""
        answer = yield from self.asked(call, until)
        return object_in(answer)

    def listed(self, path: str, query: Mapping[str, Any] | None = None) -> Steps[Any]:
        """What there is at `path`."""
        return (yield from self.json(self.call("GET", path, query=query)))

    def file(self, url: str) -> Steps[Picture]:
        """The picture at `url`, which may be relative, and another server's: the key is not sent along."""
        call = Call("GET", urljoin(f"{self.url}/", url), self._headers, follows=True)
        answer = yield from self.asked(call)
        return Picture(answer.content, answer.headers.get("content-type", "").partition(";")[0].strip())

    def _error(self, given: Answer | Cut) -> Exception:
        if isinstance(given, Cut):
            return NoAnswer(f"no answer from {self.url}: {given.reason}")
        if given.status < 400:
            place = given.headers.get("location", "elsewhere")[:_SHOWN]
            return UnexpectedAnswer(f"{self.url} sends its callers to {place}; give the URL where the mesh itself is")
        return problem_of(given, retry_after_s(given.headers))


def segment(id: str) -> str:
    """An id as a part of a path."""
    return quote(id, safe="")


def object_in(answer: Answer) -> Any:
    """The JSON object that an answer holds. UnexpectedAnswer."""
    try:
        content = json.loads(answer.content)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        words = answer.content[:_SHOWN].decode("utf-8", "replace")
        raise UnexpectedAnswer(f"an answer is no JSON object; is this the URL of a mesh? It begins with {words!r}")
    return content


def _plain(value: object) -> Any:
    """A number of NumPy's as one of Python's."""
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(f"{type(value).__name__} can't be sent as JSON")
    return item()
