"""What clients trust the mesh with stands where it must, and nowhere else: asked of a whole run over all dialects.

One gateway process serves good and bad requests of every dialect, with keys, secrets, prompts and pictures that occur
nowhere else; afterwards they are looked for in its log at the level `debug`, in the spans that it sent, in its metrics,
in its answers to what went wrong, and in its records on disk.
"""

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
import numpy as np
import pytest

from controlmesh.v1 import generation_pb2, generation_pb2_grpc, types_pb2
from mesh.pictures import encode
from tests.rigs.enterprise_client import SAMPLE
from tests.rigs.envoy import eventually
from tests.rigs.ports import free_ports
from tests.rigs.replicas import gateway
from tests.rigs.scenario_client import BODY, GENERATE
from tests.rigs.services import FakeRooms
from tests.rigs.spans import collecting
from tests.rigs.webhooks import receiving

KEY, WRONG = "audited-" + 40 * "k", "mistaken-" + 40 * "w"
ENTERPRISE = "/api/v1/enterprise/controlnet"
NATIVE = "/controlmesh/v1"
PIXELS = np.random.default_rng(43).integers(0, 256, (64, 64, 3), np.uint8)
PICTURE = encode(PIXELS)
TEXT = base64.b64encode(PICTURE).decode()
PROMPT, NEGATIVE = "an unmistakable lighthouse", "an unmistakable fog"
TOKEN, PASSWORD = "token-in-a-url", "password-in-a-url"
KEYS = {"the key": KEY, "a wrong key": WRONG}
WORDS = {"the prompt": PROMPT, "what is not wanted": NEGATIVE}
PICTURES = {"a picture in base64": TEXT[200:260], "a picture in base64, its beginning": TEXT[60:120]}
LINKS = {"a token in a URL": TOKEN, "a password in a URL": PASSWORD}
INSIDE = {
    "a folder": "/usr/", "the sources": "/gateway/", "site-packages": "site-packages", "an address in memory": "0x7f",
    "a traceback": "Traceback", "a file of Python": ".py",
}  # fmt: skip


@dataclass
class Audit:
    """What is said by whom: `places` by name, as text."""

    places: dict[str, str] = field(default_factory=dict)

    def hits(self, *secrets: Mapping[str, str], places: tuple[str, ...]) -> list[tuple[str, str, str]]:
        """Where which of the secrets stands, and what stands around it first."""
        found = {name: value for several in secrets for name, value in several.items()}
        return [
            (place, name, self.places[place][max(0, at - 200) : at + 60])
            for place in places
            for name, value in found.items()
            if (at := self.places[place].find(value)) >= 0
        ]


def test_the_audit_finds_what_is_there() -> None:
    audit = Audit({"log": f"... {PROMPT} ...", "metrics": ""})
    assert audit.hits(KEYS, WORDS, places=("log", "metrics")) == [("log", "the prompt", f"... {PROMPT} ...")]
    assert all(len(secret) >= 3 for several in (KEYS, WORDS, PICTURES, LINKS, INSIDE) for secret in several.values())


def good(hook: str) -> list[tuple[str, str, Any]]:
    """Requests that are served: method, path, body."""
    control = {"kind": "canny", "image": TEXT}
    native = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "controls": [control], "steps": 2, "webhook": hook}
    return [
        ("POST", f"{NATIVE}/generations", native),
        ("POST", f"{NATIVE}/generations?wait=0", native),
        ("POST", f"{NATIVE}/hints", control),
        ("POST", f"{NATIVE}/webhook-endpoints", {"url": hook}),
        ("GET", f"{NATIVE}/generations?limit=5", None),
        ("POST", ENTERPRISE, {**SAMPLE, "key": KEY, "model_id": "demo", "prompt": PROMPT, "init_image": TEXT}),
        ("POST", ENTERPRISE, {**SAMPLE, "key": KEY, "model_id": "demo", "prompt": PROMPT, "webhook": hook}),
        ("GET", f"/api/v7/images/fetch/123456789?key={KEY}", None),
        ("POST", f"{GENERATE}/controlnet", {**BODY, "prompt": PROMPT, "controlImage": f"data:image/png;base64,{TEXT}"}),
        ("POST", "/v1/assets", {"name": "a", "image": f"data:image/png;base64,{TEXT}"}),
        ("POST", "/", {"inputs": PROMPT, "image": TEXT, "controlnet_type": "canny_edge"}),
    ]


def bad() -> list[tuple[str, str, Any]]:
    """Requests that are refused, or that fail on the way."""
    broken, url = TEXT[200:600], f"http://127.0.0.1:9/{TOKEN}.png?token={TOKEN}"
    elsewhere = f"http://user:{PASSWORD}@127.0.0.1:9/x.png"
    control = {"kind": "canny", "image": broken}
    return [
        ("POST", f"{NATIVE}/generations", {"prompt": PROMPT, "controls": [control]}),
        ("POST", f"{NATIVE}/generations", {"prompt": PROMPT, "controls": [{**control, "image": url}]}),
        ("POST", f"{NATIVE}/generations", {"prompt": PROMPT, "controls": [{**control, "image": elsewhere}]}),
        ("POST", f"{NATIVE}/generations", {"prompt": PROMPT, "steps": -1}),
        ("POST", f"{NATIVE}/generations", {"prompt": PROMPT, "model": "../../x"}),
        ("POST", f"{NATIVE}/generations?key={KEY}", {"prompt": PROMPT}),
        ("POST", f"{NATIVE}/generations", {"prompt": PROMPT, "webhook": f"http://10.0.0.1/x?token={TOKEN}"}),
        ("POST", f"{NATIVE}/hints", control),
        ("GET", f"{NATIVE}/generations/{'0' * 32}?key={KEY}", None),
        ("GET", f"{NATIVE}/assets/{'0' * 32}.png?signature={TOKEN}", None),
        ("POST", ENTERPRISE, {**SAMPLE, "key": KEY, "model_id": "demo", "prompt": PROMPT, "init_image": broken}),
        ("POST", ENTERPRISE, {**SAMPLE, "key": KEY, "model_id": "demo", "prompt": PROMPT, "init_image": elsewhere}),
        ("POST", ENTERPRISE, {**SAMPLE, "key": WRONG, "prompt": PROMPT}),
        ("POST", f"{GENERATE}/controlnet", {**BODY, "prompt": PROMPT, "controlImage": broken}),
        ("POST", f"{GENERATE}/controlnet", {**BODY, "prompt": PROMPT, "numSamples": 10**9}),
        ("POST", "/", {"inputs": PROMPT, "image": broken, "controlnet_type": "canny_edge"}),
        ("POST", "/", {"inputs": PROMPT, "image": url, "controlnet_type": "canny_edge"}),
        ("GET", f"/nowhere?key={KEY}&token={TOKEN}", None),
    ]


async def over_grpc(address: str, answers: list[str]) -> None:
    """A good, a bad and a stranger's call of GenerationService."""
    control = types_pb2.Control(kind="canny", image=types_pb2.Image(content=PICTURE))
    asked = generation_pb2.GenerateRequest(prompt=PROMPT, controls=[control], steps=2)
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = generation_pb2_grpc.GenerationServiceStub(channel)
        for key, request in (
            (KEY, asked),
            (KEY, generation_pb2.GenerateRequest(prompt=PROMPT, steps=-1)),
            (WRONG, asked),
        ):
            try:
                async for _ in stub.Generate(request, metadata=(("authorization", f"Bearer {key}"),)):
                    pass
            except grpc.aio.AioRpcError as refused:
                answers.append(f"{refused.details()} {refused.trailing_metadata()}")


@pytest.fixture(scope="module")
async def audit(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Audit]:
    """All that a gateway said and kept after a run over all dialects."""
    folder = tmp_path_factory.mktemp("audit")
    http_port, grpc_port = free_ports(2)
    answers: list[str] = []
    async with FakeRooms() as rooms, collecting() as collector, receiving() as receiver, AsyncExitStack() as stack:
        process = gateway(
            http_port,
            grpc_port,
            1,
            folder,
            mesh_address=rooms.address,
            database_url=f"sqlite:///{folder}/records.db",
            storage_url=(folder / "assets").as_uri(),
            api_keys=(KEY,),
            default_model="demo",
            webhook_allow=("127.0.0.1:*",),
            log_level="debug",
            otlp_endpoint=collector.endpoint,
            drain_s=0.0,
        )
        await process.start()
        stack.push_async_callback(process.kill)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{http_port}") as http:

            async def ready() -> bool:
                try:
                    async with http.get("/readyz") as reply:
                        return reply.status == 200
                except aiohttp.ClientError:
                    return False

            await eventually(ready, "the gateway is ready", seconds=60)
            headers = {"Authorization": f"Bearer {KEY}"}

            async def ask(method: str, path: str, body: Any) -> tuple[int, str]:
                async with http.request(method, path, json=body, headers=headers) as reply:
                    return reply.status, f"{dict(reply.headers)} {await reply.text(errors='replace')}"

            for request in good(receiver.url("/hook")):
                status, text = await ask(*request)
                assert status < 300 or "fetch" in request[1], (request[:2], text)
            await receiver.until(3)
            for request in bad():
                status, text = await ask(*request)
                assert status >= 400 or '"status":"error"' in text, (request[:2], text)
                answers.append(text)
            await over_grpc(f"127.0.0.1:{grpc_port}", answers)
            # What nobody has foreseen.
            rooms.failure = RuntimeError(f"failed at 0x7f00 in /usr/lib/x.py with {PROMPT}")
            answers += [(await ask(*request))[1] for request in good(receiver.url("/hook"))[:1]]
            _, metrics = await ask("GET", "/metrics", None)
        await process.stop()
        yield Audit(
            {
                "log": (folder / "gateway 1.log").read_text(),
                "spans": "\n".join(map(str, collector.spans)),
                "metrics": metrics,
                "answers": "\n".join(answers),
                "records": "".join(path.read_text("latin-1") for path in folder.glob("records*")),
            }
        )


def test_there_was_something_to_be_found(audit: Audit) -> None:
    assert all(len(text) > 1000 for text in audit.places.values())
    assert '"route":' in audit.places["log"].replace(" ", "") and ENTERPRISE in audit.places["spans"]
    # A record is there to be shown to its owner.
    assert PROMPT in audit.places["records"]


EVERYWHERE = ("log", "spans", "metrics", "answers", "records")


def test_keys_are_nowhere(audit: Audit) -> None:
    assert audit.hits(KEYS, places=EVERYWHERE) == []


def test_pictures_are_nowhere_as_text(audit: Audit) -> None:
    assert audit.hits(PICTURES, places=EVERYWHERE) == []


def test_prompts_are_in_the_records_alone(audit: Audit) -> None:
    assert audit.hits(WORDS, places=("log", "spans", "metrics", "answers")) == []


def test_secrets_of_urls_are_in_no_log_no_span_and_no_metric(audit: Audit) -> None:
    assert audit.hits(LINKS, places=("log", "spans", "metrics", "answers")) == []


def test_answers_say_nothing_of_the_inside(audit: Audit) -> None:
    assert audit.hits(INSIDE, places=("answers", "metrics")) == []
