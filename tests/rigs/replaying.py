"""Pairs sent to a gateway over HTTP, and their answers compared; see pairing.py for what a pair is."""

import asyncio
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.rigs.pairs import CONTENTS, Pair, at, filled, misfits, pictured, steps
from tests.rigs.webhooks import Receiver, receiving

ALONE = frozenset({"settings", "rooms", "fresh", "webhook"})
"""What a pair has that needs a gateway of its own."""
LONGEST_S = 120
"""After which an end that is polled for won't come."""
_PAUSE_S = 0.05
_JSON = "application/json"
_SIGNED = {"webhook-id", "webhook-timestamp", "webhook-signature"}


@dataclass(frozen=True)
class Answer:
    """What came back, in the form in which pairs show it."""

    status: int
    headers: Mapping[str, str]
    body: Any


async def replay(http: aiohttp.ClientSession, pair: Pair, path: str, status: int, url: str) -> None:
    """Send all that the pair says, itself to `path`, and compare the answers.

    Args:
        http: session whose relative URLs lead to the gateway.
        pair, path: what to send, and where.
        status: that of the answer.
        url: where a picture can be fetched.

    Raises:
        AssertionError: an answer does not fit; says where.
    """
    async with receiving() as receiver:
        known: dict[str, Any] = {"hook": receiver.url("/hook"), "url": url}
        for step in (*steps(pair, "first"), {**pair, "path": path, "status": status}, *steps(pair, "then")):
            answer = await _last(http, step, known)
            _compare(step, answer, known)
            known |= {name: at(answer.body, way) for name, way in step.get("keep", {}).items()}
        if "webhook" in pair:
            await _compare_webhook(pair, receiver, known)


def settings_of(pair: Pair) -> dict[str, Any]:
    """Of the gateway that the pair is sent to."""
    settings = pair.get("settings", {})
    lists = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    return {
        "default_model": "demo",
        "model_aliases": ("midjourney=demo",),
        "fetch_allow": ("127.0.0.1:*",),
        "webhook_allow": ("127.0.0.1:*",) if "webhook" in pair else (),
        **lists,
    }


@contextmanager
def away() -> Iterator[str]:
    """An address where nobody answers, nor can begin to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


def _compare(step: Pair, answer: Answer, known: Mapping[str, Any]) -> None:
    wrong = misfits(step.get("status", 200), answer.status, "status")
    if "answer" in step:
        expected = filled(step["answer"], known)
        wrong += misfits(expected, answer.body)
        media_type = step.get("type", None if expected is None else _JSON)
        wrong += misfits(media_type, answer.headers.get("Content-Type"), "Content-Type")
    for name, value in filled(step.get("answer_headers", {}), known).items():
        wrong += misfits(value, answer.headers.get(name), name)
    assert not wrong, (step.get("method", "POST"), step["path"], wrong, answer.body)


async def _compare_webhook(pair: Pair, receiver: Receiver, known: Mapping[str, Any]) -> None:
    (call,) = await receiver.until(1)
    wrong = misfits(filled(pair["webhook"], known), json.loads(call.body), "webhook")
    wrong += misfits(_JSON, call.headers.get("content-type"), "Content-Type")
    wrong += [f"webhook lacks {name}" for name in _SIGNED - call.headers.keys()]
    assert not wrong, (wrong, call.body)


async def _last(http: aiohttp.ClientSession, step: Pair, known: Mapping[str, Any]) -> Answer:
    """The answer; of a step with `until`, the first that is as it says."""
    until = filled(step.get("until", {}), known)
    async with asyncio.timeout(LONGEST_S):
        while True:
            answer = await _sent(http, step, known)
            if all(not misfits(wanted, at(answer.body, way)) for way, wanted in until.items()):
                return answer
            # Polling is what is documented.
            await asyncio.sleep(_PAUSE_S)


async def _sent(http: aiohttp.ClientSession, step: Pair, known: Mapping[str, Any]) -> Answer:
    headers = filled(step.get("headers", {}), known)
    content: bytes | None = None
    if "raw" in step:
        content = CONTENTS.get(step["raw"], step["raw"].encode())
    elif step.get("send") is not None:
        content = json.dumps(filled(step["send"], known)).encode()
        headers = {"Content-Type": _JSON, **headers}
    # aiohttp says what it takes and what it sends unless it is kept from it.
    unsaid = [name for name in ("Accept", "Content-Type") if headers.get(name, name) is None]
    unsaid += [] if "Content-Type" in headers else ["Content-Type"]
    async with http.request(
        step.get("method", "POST"),
        filled(step["path"], known),
        data=content,
        headers={name: value for name, value in headers.items() if value is not None},
        skip_auto_headers=unsaid,
        allow_redirects=False,
    ) as response:
        return Answer(response.status, response.headers, _shown(response.content_type, await response.read()))


def _shown(media_type: str, content: bytes) -> Any:
    if not content:
        return None
    if media_type.endswith(("/json", "+json")):
        return json.loads(content)
    if media_type.startswith("image/"):
        return pictured(content)
    return _events(content.decode()) if media_type == "text/event-stream" else content.decode()


def _events(stream: str) -> dict[str, list[Any]]:
    """What each kind of event carried, in their order."""
    found: dict[str, list[Any]] = {}
    for block in stream.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "data" in fields:
            found.setdefault(fields["event"], []).append(json.loads(fields["data"]))
    return found
