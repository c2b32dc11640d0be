"""Clients of each dialect: how they submit a job, poll it and find its picture, and what they treat as no answer.

Native and gRPC clients send idempotency keys, so they may retry whatever was not answered. The vendors' clients have no
such keys: a retry is a new job, and the job whose answer was lost may run as well.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import httpx2

from benchmarks.frail_mesh import FrailMesh
from controlmesh.v1 import generation_pb2, generation_pb2_grpc
from gateway.jobs import idempotency
from local.demo import source_picture
from mesh.channels import open_channel
from tests.rigs.scenario_client import data_url

PROMPT = "a red star"
STEPS = 20
SIZE = 128
PAUSE_S = 0.25
"""Pause before a retry, seconds."""
_AGAIN = frozenset({429, 500, 502, 503, 504})
"""Status codes after which a client retries."""
_GRPC_AGAIN = frozenset(
    getattr(grpc.StatusCode, name)
    for name in ("UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "UNKNOWN")
)
_ENDS = {
    "success": "succeeded",
    "failed": "failed",
    "error": "failed",
    "failure": "failed",
    "canceled": "cancelled",
    generation_pb2.JOB_STATUS_SUCCEEDED: "succeeded",
    generation_pb2.JOB_STATUS_FAILED: "failed",
    generation_pb2.JOB_STATUS_CANCELLED: "cancelled",
}
"""What the dialects call ends; natively they are called what the values are."""
_TIMEOUT_S = 20


class NoAnswer(Exception):
    """No answer says whether the request was accepted."""


@dataclass(frozen=True)
class Seen:
    """A job as its client sees it: its final status as in the native API, else ""; URLs of its pictures; its error."""

    end: str = ""
    pictures: tuple[str, ...] = ()
    why: str = ""


class Caller(Protocol):
    """A client of one dialect.

    Attributes:
        keyed: whether it sends idempotency keys.
    """

    keyed: bool

    async def submit(self, place: int, number: int, key: str) -> str:
        """Submit job `number` at gateway `place`, 0 or 1; returns its id. Raises NoAnswer."""

    async def look(self, place: int, id: str) -> Seen:
        """Poll the job. Raises NoAnswer."""


class Http:
    """Sends requests over HTTP.

    Args:
        mesh: the mesh to call.
    """

    def __init__(self, mesh: FrailMesh) -> None:
        self._mesh = mesh
        self._client = httpx2.AsyncClient(timeout=_TIMEOUT_S)

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(self, place: int, method: str, path: str, **request: Any) -> httpx2.Response:
        """Send a request. Raises NoAnswer."""
        try:
            answer = await self._client.request(method, self._mesh.urls[place] + path, **request)
        except httpx2.TransportError as error:
            raise NoAnswer from error
        # The enterprise dialect reports with status 200 that a service is unavailable.
        if answer.status_code in _AGAIN or "retry-after" in answer.headers:
            raise NoAnswer
        return answer.raise_for_status()


def _path(url: str) -> str:
    return str(httpx2.URL(url).path)


@dataclass(frozen=True)
class Native:
    """The mesh's own API."""

    http: Http
    webhook: str
    keyed: bool = True

    async def submit(self, place: int, number: int, key: str) -> str:
        size = {"width": SIZE, "height": SIZE}
        body = {"prompt": PROMPT, "seed": number, "steps": STEPS, **size, "webhook": self.webhook}
        path, headers = "/controlmesh/v1/generations?wait=0", {idempotency.HEADER: key}
        return str((await self.http.ask(place, "POST", path, json=body, headers=headers)).json()["id"])

    async def look(self, place: int, id: str) -> Seen:
        record = (await self.http.ask(place, "GET", f"/controlmesh/v1/generations/{id}")).json()
        end = record["status"] if record["status"] in _ENDS.values() else ""
        pictures = tuple(_path(image["url"]) for image in record["images"])
        return Seen(end, pictures, record["error"]["detail"] if record["error"] else "")


@dataclass(frozen=True)
class Enterprise:
    """The enterprise vendor's API: webhooks and polling."""

    http: Http
    webhook: str
    keyed: bool = False

    async def submit(self, place: int, number: int, key: str) -> str:
        words = {"key": "any", "model_id": "demo", "prompt": PROMPT, "seed": number, "webhook": self.webhook}
        numbers = {"width": str(SIZE), "height": str(SIZE), "samples": "1", "num_inference_steps": str(STEPS)}
        path = "/api/v1/enterprise/text2img"
        answer = (await self.http.ask(place, "POST", path, json={**words, **numbers})).json()
        assert answer["status"] in ("processing", "success"), answer
        return str(answer["id"])

    async def look(self, place: int, id: str) -> Seen:
        answer = (await self.http.ask(place, "POST", f"/api/v1/enterprise/fetch/{id}", json={"key": "any"})).json()
        end = _ENDS.get(answer["status"], "")
        return Seen(end, tuple(map(_path, answer["output"])) if end == "succeeded" else (), str(answer.get("message")))


@dataclass(frozen=True)
class Scenario:
    """Scenario's API: polling; its webhooks go to an endpoint that is created first."""

    http: Http
    webhook: str
    keyed: bool = False

    async def prepare(self) -> None:
        """Create the webhook endpoint."""
        body = {"url": self.webhook, "enabledEvents": ["generation.completed", "generation.failed"]}
        await self.http.ask(0, "POST", "/v1/teams/any/webhook-endpoints", json=body)

    async def submit(self, place: int, number: int, key: str) -> str:
        size = {"width": SIZE, "height": SIZE, "numInferenceSteps": STEPS, "numSamples": 1}
        control = {"controlImage": data_url(source_picture()), "modality": "canny"}
        body = {"modelId": "demo", "prompt": PROMPT, "seed": str(number), **size, **control}
        answer = (await self.http.ask(place, "POST", "/v1/generate/controlnet", json=body)).json()
        return str(answer["job"]["jobId"])

    async def look(self, place: int, id: str) -> Seen:
        job = (await self.http.ask(place, "GET", f"/v1/jobs/{id}")).json()["job"]
        end, pictures = _ENDS.get(job["status"], ""), []
        for asset in job["metadata"]["assetIds"] if end else ():
            shown = (await self.http.ask(place, "GET", f"/v1/assets/{asset}")).json()
            pictures.append(_path(shown["asset"]["url"]))
        return Seen(end, tuple(pictures), str(job.get("error")))


@dataclass(frozen=True)
class Grpc:
    """GenerationService, at Envoy's listener between the services and at the second gateway."""

    stubs: tuple[Any, ...]
    webhook: str
    keyed: bool = True

    async def submit(self, place: int, number: int, key: str) -> str:
        asked = generation_pb2.GenerateRequest(prompt=PROMPT, width=SIZE, height=SIZE, steps=STEPS, seed=number)
        request = generation_pb2.SubmitJobRequest(generation=asked, webhook=self.webhook)
        metadata = ((idempotency.HEADER.lower(), key),)
        submitting = self.stubs[place].SubmitJob(request, metadata=metadata, timeout=_TIMEOUT_S)
        return str((await self._asked(submitting)).job.id)

    async def look(self, place: int, id: str) -> Seen:
        request = generation_pb2.GetJobRequest(id=id)
        job = (await self._asked(self.stubs[place].GetJob(request, timeout=_TIMEOUT_S))).job
        return Seen(
            _ENDS.get(job.status, ""), tuple(_path(image.url) for image in job.result.images), job.error.message
        )

    async def _asked(self, call: Any) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            if error.code() in _GRPC_AGAIN:
                raise NoAnswer from error
            raise


DIALECTS = ("native", "enterprise", "scenario", "grpc")


@dataclass
class Programs:
    """One client of each dialect, until `close`.

    Attributes:
        unanswered: dialect -> number of submissions without an answer.
        asked_again: number of retries of all clients.
    """

    http: Http
    channels: tuple[grpc.aio.Channel, ...]
    callers: dict[str, Caller]
    unanswered: Counter[str] = field(default_factory=Counter)
    asked_again: int = 0

    @classmethod
    async def open(cls, mesh: FrailMesh, dialects: tuple[str, ...], heard_at: str) -> "Programs":
        """Open clients of `dialects`; the webhooks of each go to its own path below `heard_at`."""
        http = Http(mesh)
        channels = tuple(map(open_channel, mesh.grpc_addresses))
        stubs = tuple(generation_pb2_grpc.GenerationServiceStub(channel) for channel in channels)
        makers: dict[str, Callable[[str], Caller]] = {
            "native": lambda webhook: Native(http, webhook),
            "enterprise": lambda webhook: Enterprise(http, webhook),
            "scenario": lambda webhook: Scenario(http, webhook),
            "grpc": lambda webhook: Grpc(stubs, webhook),
        }
        callers = {name: makers[name](heard_at + name) for name in dialects}
        for caller in callers.values():
            if isinstance(caller, Scenario):
                await caller.prepare()
        return cls(http, channels, callers)

    async def close(self) -> None:
        await self.http.close()
        for channel in self.channels:
            await channel.close()

    async def submitted(self, dialect: str, number: int, key: str) -> tuple[str, ...]:
        """Submit a job; returns its ids: from both gateways if the dialect has keys, else from one of them."""
        places = (0, 1) if self.callers[dialect].keyed else (number % 2,)
        return tuple(await asyncio.gather(*(self._submitted(dialect, place, number, key) for place in places)))

    async def _submitted(self, dialect: str, place: int, number: int, key: str) -> str:
        while True:
            try:
                return await self.callers[dialect].submit(place, number, key)
            except NoAnswer:
                self.unanswered[dialect] += 1
                await self._pause()

    async def ended(self, dialect: str, id: str) -> Seen:
        """Poll the job until it has ended."""
        while True:
            try:
                seen = await self.callers[dialect].look(0, id)
                if seen.end:
                    return seen
                await asyncio.sleep(PAUSE_S)
            except NoAnswer:
                await self._pause()

    async def picture(self, path: str) -> bytes:
        """Fetch a picture's file."""
        while True:
            try:
                return bytes((await self.http.ask(0, "GET", path)).content)
            except NoAnswer:
                await self._pause()

    async def _pause(self) -> None:
        self.asked_again += 1
        await asyncio.sleep(PAUSE_S * (1 + random.random()))
