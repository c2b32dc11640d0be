"""Pictures asked for at a steady rate while replicas are restarted, and the restarts one after another."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from tests.rigs.envoy import Envoy, eventually

NATIVE = "/controlmesh/v1/generations?wait=60"
STEPS = 4


@dataclass(frozen=True)
class Asked:
    """One request: its dialect, when it began, how long it took, and what was wrong with its answer ("": nothing)."""

    dialect: str
    began: float
    seconds: float
    wrong: str


class Replica(Protocol):
    """One process of a service that has two.

    Attributes:
        name: of the service and which of the two it is.
        ports: cluster of Envoy -> port of this process.
    """

    name: str
    ports: Mapping[str, int]

    async def stop(self) -> None:
        """Send SIGTERM, and wait until it has drained and ended."""

    async def start(self) -> None:
        """Start it anew on the same ports."""


@dataclass(frozen=True)
class Restart:
    """One restart: of whom, when, and for how long the other one was alone."""

    name: str
    began: float
    seconds: float


async def native(http: aiohttp.ClientSession, number: int, size: Mapping[str, Any]) -> str:
    """Ask the native API for a picture; returns what is wrong with the answer."""
    body = {"prompt": "a red star", "seed": number, "steps": STEPS, **size}
    async with http.post(NATIVE, json=body) as answer:
        text = await answer.text()
        made = answer.status == 200 and '"status":"succeeded"' in text.replace(" ", "")
        return "" if made else f"{answer.status} {text[:200]}"


async def enterprise(http: aiohttp.ClientSession, number: int, size: Mapping[str, Any]) -> str:
    """The same of an API whose answers are 200 whatever happened."""
    body = {"key": "any", "model_id": "demo", "prompt": "a red star", "seed": number, "num_inference_steps": STEPS}
    async with http.post("/api/v1/enterprise/text2img", json={**body, **size}) as answer:
        text = await answer.text()
        return "" if answer.status == 200 and '"status":"success"' in text.replace(" ", "") else text[:200]


async def huggingface(http: aiohttp.ClientSession, number: int, size: Mapping[str, Any]) -> str:
    """The same of an API that answers with the picture itself."""
    body = {"inputs": "a red star", "parameters": {"seed": number, "num_inference_steps": STEPS, **size}}
    async with http.post("/", json=body, headers={"Accept": "image/png"}) as answer:
        content = await answer.read()
        return "" if content.startswith(b"\x89PNG") else f"{answer.status} {content[:200]!r}"


DIALECTS: Mapping[str, Callable[[aiohttp.ClientSession, int, Mapping[str, Any]], Awaitable[str]]] = {
    "native": native,
    "enterprise": enterprise,
    "huggingface": huggingface,
}


@dataclass
class Load:
    """Requests at a steady rate, whether or not earlier ones were answered, each on a connection of its own.

    Attributes:
        url: base of the edge.
        a_second: requests a second, in turn of all dialects.
        size: width and height of the pictures, or nothing.
        asked: those that were answered, or that failed.
    """

    url: str
    a_second: float
    size: Mapping[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask inside the context; at its end, wait for all answers."""
        over = asyncio.Event()
        connector = aiohttp.TCPConnector(force_close=True)
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(self.url, connector=connector, timeout=timeout) as http:
            asking = asyncio.create_task(self._ask(http, over))
            try:
                yield
            finally:
                over.set()
                await asking

    def failed(self) -> list[Asked]:
        """Requests without the picture that they asked for."""
        return [one for one in self.asked if one.wrong]

    async def _ask(self, http: aiohttp.ClientSession, over: asyncio.Event) -> None:
        began, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while not over.is_set():
                group.create_task(self._one(http, number))
                number += 1
                due = began + number / self.a_second - time.monotonic()
                # The rate is the point: a load that waited for answers would be kind to what it measures.
                try:
                    await asyncio.wait_for(over.wait(), max(due, 0.001))
                except TimeoutError:
                    continue

    async def _one(self, http: aiohttp.ClientSession, number: int) -> None:
        dialect = tuple(DIALECTS)[number % len(DIALECTS)]
        began = time.monotonic()
        try:
            wrong = await DIALECTS[dialect](http, number, self.size)
        except (aiohttp.ClientError, TimeoutError) as error:
            wrong = repr(error)
        self.asked.append(Asked(dialect, began, time.monotonic() - began, wrong))


async def in_rotation(envoy: Envoy, replica: Replica) -> None:
    """Wait until Envoy sends requests to each port of the replica."""

    async def healthy() -> bool:
        return all([port in await envoy.healthy(cluster) for cluster, port in replica.ports.items()])

    await eventually(healthy, f"{replica.name} is in rotation", seconds=180)


async def roll(envoy: Envoy, replicas: Sequence[Replica]) -> list[Restart]:
    """Restart the replicas one after another, as a rolling update does: the next one once the last is in rotation."""
    done = []
    for replica in replicas:
        began = time.monotonic()
        await replica.stop()
        await replica.start()
        await in_rotation(envoy, replica)
        done.append(Restart(replica.name, began, time.monotonic() - began))
    return done
