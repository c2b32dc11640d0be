"""The mix of requests of a soak: every dialect, good and bad, and what a right answer to each is."""

import asyncio
import base64
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx2

from controlmesh.v1 import generation_pb2, generation_pb2_grpc, types_pb2
from local.demo import source_picture
from local.supervision import LocalMesh
from mesh.channels import open_channel

NATIVE = "/controlmesh/v1"
PROMPT = "a red star"
SMALL: Mapping[str, Any] = {"width": 64, "height": 64}
STEPS = 4
MOST_WORDS = 5
TIMEOUT_S = 60.0
LOOK_S = 0.25
Call = Callable[["Clients", int], Awaitable[str]]
"""Makes request number n; returns what is wrong with its answer, or nothing."""


@dataclass
class Clients:
    """Clients of all dialects.

    Attributes:
        asked, failed: kind of request -> how many.
        words: of the first failures.
    """

    http: httpx2.AsyncClient
    stub: Any
    hook: str
    picture: bytes
    asked: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The picture in base64."""
        return base64.b64encode(self.picture).decode()

    @classmethod
    @asynccontextmanager
    async def open(cls, mesh: LocalMesh, hook: str) -> AsyncIterator["Clients"]:
        """Clients of `mesh`, whose webhooks go to `hook`."""
        async with (
            httpx2.AsyncClient(base_url=mesh.url, timeout=TIMEOUT_S) as http,
            open_channel(mesh.settings.gateway_grpc_address) as channel,
        ):
            yield cls(http, generation_pb2_grpc.GenerationServiceStub(channel), hook, source_picture())

    async def work(self, first: int, over: asyncio.Event, pause_s: float) -> None:
        """Make one request of the mix after the other until it is over, beginning with number `first`."""
        number = first
        names = tuple(MIX)
        while not over.is_set():
            name = names[number % len(names)]
            try:
                wrong = await MIX[name](self, number)
            except (httpx2.HTTPError, grpc.aio.AioRpcError, KeyError, ValueError) as error:
                wrong = repr(error)[:200]
            self.asked[name] += 1
            if wrong:
                self.failed[name] += 1
                if len(self.words) < MOST_WORDS:
                    self.words.append(f"{name}: {wrong}")
            number += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), pause_s)

    async def post(self, path: str, body: Any, **more: Any) -> httpx2.Response:
        return await self.http.post(path, json=body, **more)


def _unless(holds: bool, answer: httpx2.Response) -> str:
    return "" if holds else f"{answer.status_code} {answer.text[:200]}"


async def _native(clients: Clients, number: int) -> str:
    control = {"kind": "canny", "image": clients.text}
    body = {"prompt": PROMPT, "seed": number, "steps": STEPS, "controls": [control], **SMALL}
    answer = await clients.post(f"{NATIVE}/generations?wait=60", body)
    if answer.status_code != 200:
        return _unless(False, answer)
    read = await clients.http.get(answer.json()["images"][0]["url"])
    return _unless(read.content.startswith(b"\x89PNG"), read)


async def _queued(clients: Clients, number: int) -> str:
    body = {"prompt": PROMPT, "seed": number, "steps": STEPS, "webhook": f"{clients.hook}native", **SMALL}
    answer = await clients.post(f"{NATIVE}/generations?wait=0", body)
    while answer.status_code in (200, 202) and answer.json()["status"] in ("queued", "running"):
        await asyncio.sleep(LOOK_S)
        answer = await clients.http.get(f"{NATIVE}/generations/{answer.json()['id']}")
    return _unless(answer.status_code == 200 and answer.json()["status"] == "succeeded", answer)


async def _events(clients: Clients, number: int) -> str:
    body = {"prompt": PROMPT, "seed": number, "steps": STEPS, "preview_every": 2, **SMALL}
    id = (await clients.post(f"{NATIVE}/generations?wait=0", body)).json()["id"]
    async with clients.http.stream("GET", f"{NATIVE}/generations/{id}/events") as stream:
        text = (await stream.aread()).decode()
    return "" if "succeeded" in text else text[-200:]


async def _cancelled(clients: Clients, number: int) -> str:
    body = {"prompt": PROMPT, "seed": number, "steps": 100, **SMALL}
    id = (await clients.post(f"{NATIVE}/generations?wait=0", body)).json()["id"]
    answer = await clients.http.delete(f"{NATIVE}/generations/{id}")
    return _unless(answer.status_code == 200, answer)


async def _hint(clients: Clients, number: int) -> str:
    answer = await clients.post(f"{NATIVE}/hints", {"kind": "canny", "image": clients.text})
    return _unless(answer.status_code == 200, answer)


async def _file(clients: Clients, number: int) -> str:
    kept = await clients.http.post(f"{NATIVE}/assets", content=clients.picture, headers={"Content-Type": "image/png"})
    return _unless(kept.status_code in (200, 201), kept)


async def _enterprise(clients: Clients, number: int) -> str:
    words = {"key": "any", "model_id": "demo", "prompt": PROMPT, "seed": number, "webhook": f"{clients.hook}enterprise"}
    control = {"controlnet_model": "canny", "init_image": clients.text, "num_inference_steps": str(STEPS)}
    body = {**words, **control, "width": "64", "height": "64"}
    answer = (await clients.post("/api/v1/enterprise/controlnet", body)).json()
    while answer["status"] == "processing":
        await asyncio.sleep(LOOK_S)
        answer = (await clients.post(f"/api/v1/enterprise/fetch/{answer['id']}", {"key": "any"})).json()
    return "" if answer["status"] == "success" else str(answer)[:200]


async def _huggingface(clients: Clients, number: int) -> str:
    body = {"inputs": PROMPT, "image": clients.text, "controlnet_type": "canny_edge", "num_inference_steps": STEPS}
    answer = await clients.post("/", {**body, "seed": number}, headers={"Accept": "image/png"})
    return _unless(answer.content.startswith(b"\x89PNG"), answer)


async def _scenario(clients: Clients, number: int) -> str:
    control = {"controlImage": f"data:image/png;base64,{clients.text}", "modality": "canny"}
    size = {"width": 64, "height": 64, "numInferenceSteps": STEPS, "numSamples": 1}
    body = {"modelId": "demo", "prompt": PROMPT, "seed": str(number), **size, **control}
    job = (await clients.post("/v1/generate/controlnet", body)).json()["job"]
    while job["status"] not in ("success", "failure", "canceled"):
        await asyncio.sleep(LOOK_S)
        job = (await clients.http.get(f"/v1/jobs/{job['jobId']}")).json()["job"]
    return "" if job["status"] == "success" else str(job)[:200]


async def _grpc(clients: Clients, number: int) -> str:
    control = types_pb2.Control(kind="canny", image=types_pb2.Image(content=clients.picture))
    request = generation_pb2.GenerateRequest(prompt=PROMPT, seed=number, steps=STEPS, controls=[control], **SMALL)
    last = None
    async for message in clients.stub.Generate(request, timeout=TIMEOUT_S):
        last = message
    return "" if last is not None and last.HasField("result") else str(last)[:200]


async def _broken(clients: Clients, number: int) -> str:
    half = base64.b64encode(clients.picture[: len(clients.picture) // 2]).decode()
    body = {"prompt": PROMPT, "steps": STEPS, "controls": [{"kind": "canny", "image": half}], **SMALL}
    answer = await clients.post(f"{NATIVE}/generations?wait=60", body)
    return _unless(answer.status_code == 422, answer)


async def _refused(clients: Clients, number: int) -> str:
    answer = await clients.post(f"{NATIVE}/generations", {"prompt": PROMPT, "steps": -1, "model": "../x"})
    return _unless(answer.status_code == 422, answer)


async def _left(clients: Clients, number: int) -> str:
    """A client that leaves in the middle."""
    body = {"prompt": PROMPT, "seed": number, "steps": 150, **SMALL}
    with contextlib.suppress(httpx2.TimeoutException):
        await clients.post(f"{NATIVE}/generations?wait=60", body, timeout=0.3)
    return ""


MIX: Mapping[str, Call] = {
    "native, waited for": _native,
    "native, queued, with a webhook": _queued,
    "native, with events and previews": _events,
    "enterprise, with a webhook": _enterprise,
    "scenario": _scenario,
    "Hugging Face": _huggingface,
    "gRPC": _grpc,
    "hint": _hint,
    "file": _file,
    "cancelled": _cancelled,
    "a broken picture": _broken,
    "wrong": _refused,
    "a client that leaves": _left,
}
