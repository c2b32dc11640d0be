"""Bodies of senders whose key is not known: what they may cost, and that those who have one are served as if alone."""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import grpc
import numpy as np
import pytest

from controlmesh.v1 import generation_pb2, generation_pb2_grpc, types_pb2
from gateway.rpc import servicer as grpc_face
from gateway.rpc.entrance import KeyFirst
from gateway.web.budget import PORTION
from gateway.web.multipart import LONGEST_HEAD
from mesh.channels import MESSAGE_OPTIONS
from mesh.interceptors import CallInterceptor
from mesh.pictures import encode
from tests.contract.conftest import Running, running
from tests.rigs.enterprise_client import PATH as ENTERPRISE
from tests.rigs.enterprise_client import SAMPLE
from tests.rigs.jobs import eventually

MIB = 1 << 20
KEY = "cm_" + 43 * "k"
NATIVE = "/controlmesh/v1/generations"
SCENARIO = "/v1/generate/txt2img"
NOISE = np.random.default_rng(1).integers(0, 256, (1024, 1024, 3), np.uint8)
PICTURE = encode(NOISE)
assert len(PICTURE) > 3 * MIB
REQUEST: dict[str, Any] = {
    **SAMPLE, "model_id": "demo", "init_image": base64.b64encode(PICTURE).decode(), "enhance_prompt": "no"
}  # fmt: skip
del REQUEST["key"]


@pytest.fixture(scope="module")
async def keyed() -> AsyncIterator[Running]:
    """A gateway that asks for keys, and reads on however much strangers send."""
    async with running(api_keys=(KEY,), body_unkeyed_bytes=0) as mesh:
        yield mesh


def part(name: str, value: bytes, file: str = "") -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"' + (f'; filename="{file}"' if file else "")
    return head.encode() + b"\r\n\r\n" + value + b"\r\n"


def multipart(key: bytes, *, first: bool) -> bytes:
    fields = [part(name, str(value).encode()) for name, value in REQUEST.items() if value and name != "init_image"]
    pictures = [part("init_image", PICTURE, "a.png")]
    return (
        b"".join([part("key", key), *pictures, *fields] if first else [*pictures, *fields, part("key", key)]) + b"--x--"
    )


def urlencoded(key: str, *, first: bool) -> bytes:
    sent = {name: value for name, value in REQUEST.items() if value}
    return urlencode({"key": key, **sent} if first else {**sent, "key": key}).encode()


def as_json(key: object, *, first: bool) -> bytes:
    return json.dumps({"key": key, **REQUEST} if first else {**REQUEST, "key": key}).encode()


JSON, FORM, PARTS = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
SPELLINGS: dict[str, tuple[str, bytes]] = {
    "JSON, key first": (JSON, as_json(KEY, first=True)),
    "JSON, key behind the picture": (JSON, as_json(KEY, first=False)),
    "JSON, escaped": (JSON, as_json(KEY, first=False).replace(b'"key"', b'"\\u006b\\u0065y"')),
    "JSON, repeated": (JSON, b'{"key": "wrong", ' + as_json(KEY, first=False)[1:]),
    "JSON, behind a mark": (JSON, b"\xef\xbb\xbf" + as_json(KEY, first=False)),
    "JSON without a type": ("", as_json(KEY, first=False)),
    "JSON as a form": (FORM, b"\n" + as_json(KEY, first=False)),
    "form": (FORM, urlencoded(KEY, first=True)),
    "form, key behind the picture": (FORM, urlencoded(KEY, first=False)),
    "parts": (PARTS, multipart(KEY.encode(), first=True)),
    "parts, key behind the picture": (PARTS, multipart(KEY.encode(), first=False)),
}


async def post(mesh: Running, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    async with mesh.http.post(path, data=body, headers={"Content-Type": JSON, **headers}) as response:
        return response.status, await response.json(content_type=None)


@pytest.mark.parametrize(("content_type", "body"), SPELLINGS.values(), ids=SPELLINGS)
async def test_a_key_is_found_wherever_the_vendor_s_clients_put_it(
    keyed: Running, content_type: str, body: bytes
) -> None:
    status, answer = await post(keyed, ENTERPRISE, body, **{"Content-Type": content_type})
    assert (status, answer["status"]) == (200, "success"), answer
    assert keyed.gateway.bodies.budget.held == 0


@pytest.mark.parametrize("key", ["", None, 0, "wrong", 7, True, ["x"], {"key": KEY}, [KEY], "k" * 20_000, KEY + " "])
@pytest.mark.parametrize("first", [True, False])
async def test_without_a_valid_key_the_answer_is_the_vendor_s(keyed: Running, key: object, first: bool) -> None:
    status, answer = await post(keyed, ENTERPRISE, as_json(key, first=first))
    assert (status, answer["status"], answer["message"]) == (200, "error", "Invalid Api Key")
    assert keyed.gateway.bodies.budget.held == 0


async def test_the_last_of_several_keys_counts_and_a_header_only_where_the_body_has_none(keyed: Running) -> None:
    wrong = as_json("wrong", first=False)
    for body in (b'{"key": "' + KEY.encode() + b'", ' + wrong[1:], wrong):
        for headers in ({}, {"key": KEY}, {"Authorization": f"Bearer {KEY}"}):
            assert (await post(keyed, ENTERPRISE, body, **headers))[1]["message"] == "Invalid Api Key"
    for headers in ({"key": KEY}, {"Authorization": f"Bearer {KEY}"}):
        assert (await post(keyed, ENTERPRISE, as_json("", first=True), **headers))[1]["status"] == "success"
        assert (await post(keyed, ENTERPRISE, as_json(KEY, first=True), key="wrong"))[1]["status"] == "success"


HEADED = {
    "native": (NATIVE, {"Authorization": "Bearer wrong"}, 401),
    "native without": (NATIVE, {}, 401),
    "native hints": ("/controlmesh/v1/hints", {}, 401),
    "native assets": ("/controlmesh/v1/assets", {"Content-Type": "image/png"}, 401),
    "native endpoints": ("/controlmesh/v1/webhook-endpoints", {}, 401),
    "Hugging Face": ("/", {"Authorization": "Bearer wrong"}, 401),
    "Hugging Face picture": ("/hf/x/predict", {"Content-Type": "image/png"}, 401),
    "Scenario": (SCENARIO, {"Authorization": "Basic " + base64.b64encode(b"wrong:").decode()}, 401),
    "Scenario newer": ("/v1/generate/custom/demo", {}, 401),
    "Scenario assets": ("/v1/assets", {"Authorization": "Bearer " + "x" * 30_000}, 401),
    "Scenario uploads": ("/v1/uploads", {}, 401),
    "Scenario jobs": ("/v1/jobs/job_1/action", {}, 401),
    "a tool that is not here": ("/v1/generate/upscale", {}, 401),
    "nothing": ("/nowhere", {}, 404),
}


@pytest.mark.parametrize(("path", "headers", "status"), HEADED.values(), ids=HEADED)
async def test_where_the_key_is_in_a_header_nothing_of_the_body_is_awaited(
    keyed: Running, path: str, headers: dict[str, str], status: int
) -> None:
    """The answer comes before a byte of the body was sent, and before the client was told to send one."""
    host, port = keyed.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {24 * MIB}", "Expect: 100-continue"]
    writer.write("\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "\r\n"]).encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert head.split()[1] == str(status).encode(), head
    # The connection goes on: the body is passed over, and the next request answered.
    writer.write(b"x" * (24 * MIB) + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.wait_for(writer.drain(), 10)
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\nok"), 10)
    writer.close()
    assert keyed.gateway.bodies.budget.held == 0


@asynccontextmanager
async def pauses() -> AsyncIterator[Callable[[], float]]:
    """The loop's longest pause so far, in seconds of its thread's processor time: other processes don't lengthen it."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    watching = asyncio.create_task(watch())
    try:
        yield lambda: longest
    finally:
        watching.cancel()


def head_of_pieces(count: int, last: str) -> bytes:
    pieces = "".join(f"; n*{number}=%41" for number in range(count))
    return f"--x\r\nContent-Disposition: form-data{pieces}; name={last}\r\n\r\n1\r\n".encode()


PLAIN = b'{"a":"' + b"x" * (20 * MIB) + b'"}'
ATTACKS: dict[str, tuple[str, bytes, int]] = {
    "arrays": (JSON, b'{"a":[' + b"[]," * (7 * MIB) + b"[]]}", 400),
    "objects": (JSON, b'{"a":[' + b'{"a":1},' * (2 * MIB) + b"1]}", 400),
    "numbers": (JSON, b'{"a":[' + b"1," * MIB + b"1]}", 400),
    "names": (JSON, b"{" + b'"a":1,' * (3 * MIB) + b'"a":1}', 400),
    "depth": (JSON, b'{"a":' * (3 * MIB), 400),
    "a number": (JSON, b'{"a":' + b"9" * (20 * MIB) + b"}", 400),
    "escapes": (JSON, b'{"a":"' + b'\\"' * (10 * MIB) + b'"}', 200),
    "escaped characters": (JSON, b'{"a":"' + b"\\u00e9" * (3 * MIB) + b'"}', 200),
    "keys": (JSON, b"{" + b'"key":"wrong",' * 1000 + b'"key":"wrong"}', 200),
    "more fields than there are": (JSON, b"{" + b'"key":"wrong",' * 8000 + b'"key":"wrong"}', 400),
    "arrays as a form": (FORM, b'{"a":[' + b"[]," * (7 * MIB) + b"[]]}", 400),
    "fields": (FORM, b"a=1&" * (5 * MIB), 400),
    "percent escapes": (FORM, b"&".join([b"a=" + b"%41" * (MIB // 30)] * 200), 200),
    "heads in pieces": (PARTS, b"".join(head_of_pieces(649, f"x{n}") for n in range(200)) + b"--x--", 400),
    "short heads in pieces": (PARTS, b"".join(head_of_pieces(15, f"x{n}") for n in range(200)) + b"--x--", 200),
    "long heads": (PARTS, part("a", b"1", "f" * LONGEST_HEAD) * 200 + b"--x--", 400),
    "near misses": (PARTS, part("a", b"\r\n--xy" * (3 * MIB)) + b"--x--", 400),
    "many parts": (PARTS, part("a", b"") * 100_000 + b"--x--", 400),
    "a type of many parameters": ("multipart/form-data" + "; a=b" * 1600 + "; boundary=x", PLAIN, 400),
    "a type in pieces": ("multipart/form-data" + "".join(f"; boundary*{n}=x" for n in range(500)), PLAIN, 400),
}


async def send(mesh: Running, content_type: str, body: bytes) -> tuple[int, str]:
    """POST it, and read the answer while it is still being sent."""
    host, port = mesh.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = (
        f"POST {ENTERPRISE} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
    )
    head = "\r\n".join(lines) + "\r\n\r\n"
    writer.write(head.encode())

    async def rest() -> None:
        for begin in range(0, len(body), 1 << 18):
            writer.write(body[begin : begin + (1 << 18)])
            await writer.drain()

    sending = asyncio.create_task(rest())
    answer = await reader.readuntil(b"\r\n\r\n")
    length = int(answer.lower().partition(b"content-length:")[2].split()[0])
    text = (await reader.readexactly(length)).decode()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    writer.close()
    return int(answer.split()[1]), text


@pytest.mark.parametrize(("content_type", "body", "status"), ATTACKS.values(), ids=ATTACKS)
async def test_no_body_without_a_key_stops_others(keyed: Running, content_type: str, body: bytes, status: int) -> None:
    async with pauses() as longest:
        assert (await send(keyed, JSON, PLAIN))[0] == 200
        usual = longest()
    async with pauses() as longest:
        answered, text = await send(keyed, content_type, body)
        pause = longest()
    assert answered == status, text
    assert len(text) < 1000 and ("Invalid Api Key" in text or status == 400)
    # The second bound is what one chunk of the worst may take on a slow machine, not what was seen.
    assert pause < max(5 * usual, 0.1), f"{pause:.3f} s where {usual:.3f} s are usual"
    assert keyed.gateway.bodies.budget.held == 0


FLOOD = part("init_image", b"\r\n--" * (MIB // 2)) + b"--x--"


async def head_of(mesh: Running, path: str, *lines: str) -> bytes:
    """The head of the answer to a request of which only the head is sent."""
    host, port = mesh.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {MIB}", "Expect: 100-continue", *lines)
    writer.write("\r\n".join([*head, "\r\n"]).encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    writer.close()
    return answer


async def test_an_address_that_spent_its_unkeyed_work_is_not_read_and_keys_in_headers_are() -> None:
    async with running(api_keys=(KEY,), body_unkeyed_bytes=4 * MIB) as mesh:
        # However often a valid key stands behind large pictures, it costs nothing.
        for content_type, body in list(SPELLINGS.values()) * 2:
            assert (await post(mesh, ENTERPRISE, body, **{"Content-Type": content_type}))[0] == 200
        status, answer = await post(mesh, ENTERPRISE, FLOOD, **{"Content-Type": PARTS})
        assert (status, answer["message"]) == (200, "Invalid Api Key")
        for path in (ENTERPRISE, "/api/v7/images/controlnet", "/api/v5/controlnet"):
            assert b" 429 " in (head := await head_of(mesh, path)) and b"retry-after: " in head.lower()
            status, answer = await post(mesh, path, as_json("wrong", first=True))
            assert status == 429 and {"status", "message", "messege", "retry_after"} <= set(answer)
            assert answer["message"] == "Rate limit exceeded" and "send the key in a header" in answer["tips"]
        assert b" 429 " in await head_of(mesh, ENTERPRISE, "key: wrong")
        assert b" 100 " in await head_of(mesh, ENTERPRISE, f"key: {KEY}")
        for headers in ({"key": KEY}, {"Authorization": f"Bearer {KEY}"}):
            assert (await post(mesh, ENTERPRISE, as_json("", first=True), **headers))[1]["status"] == "success"
        async with mesh.http.post(NATIVE, json={"prompt": "x"}, headers={"Authorization": f"Bearer {KEY}"}) as response:
            assert response.status == 200
        assert mesh.gateway.bodies.budget.held == 0


async def test_all_bodies_together_have_a_bound_and_strangers_leave_room_for_holders() -> None:
    async with running(api_keys=(KEY,), max_body_bytes=2 * MIB, body_budget_bytes=16 * MIB) as mesh:
        host, port = mesh.url.removeprefix("http://").split(":")
        body = b'{"a":"' + b"x" * (2 * MIB - 10)
        head = f"POST {ENTERPRISE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2 * MIB}\r\n\r\n".encode()
        strangers = [await asyncio.open_connection(host, int(port)) for _ in range(12)]
        for _, writer in strangers:
            writer.write(head + body)
        answers = [asyncio.create_task(reader.readuntil(b"\r\n\r\n")) for reader, _ in strangers]
        budget = mesh.gateway.bodies.budget

        async def told() -> bool:
            return sum(answer.done() for answer in answers) >= 11

        await eventually(told)
        refused = [answer.result() for answer in answers if answer.done()]
        assert all(b" 503 " in line and b"retry-after: 2" in line.lower() for line in refused)
        assert budget.held <= budget.shares.unkeyed_address + PORTION == 2 * MIB + PORTION
        sample = {**SAMPLE, "model_id": "demo"}
        async with mesh.http.post(ENTERPRISE, json={**sample, "key": KEY}) as response:
            assert (answer := await response.json())["status"] == "success", answer
        async with mesh.http.post(NATIVE, json={"prompt": "x"}, headers={"Authorization": f"Bearer {KEY}"}) as response:
            assert response.status == 200
        for _, writer in strangers:
            writer.close()
        await asyncio.gather(*answers, return_exceptions=True)

        async def given_back() -> bool:
            return budget.held == 0

        await eventually(given_back)


async def test_where_no_key_is_asked_for_small_requests_find_room_too() -> None:
    async with running(max_body_bytes=2 * MIB, body_budget_bytes=8 * MIB) as mesh:
        host, port = mesh.url.removeprefix("http://").split(":")
        head = f"POST {ENTERPRISE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2 * MIB}\r\n\r\n".encode()
        others = [await asyncio.open_connection(host, int(port)) for _ in range(12)]
        for _, writer in others:
            writer.write(head + b'{"a":"' + b"x" * MIB)
        answers = [asyncio.create_task(reader.readuntil(b"\r\n\r\n")) for reader, _ in others]

        async def told() -> bool:
            return sum(answer.done() for answer in answers) >= 9

        await eventually(told)
        assert all(b" 503 " in answer.result() for answer in answers if answer.done())
        for path, body in (
            (ENTERPRISE, {**SAMPLE, "model_id": "demo"}),
            (NATIVE, {"prompt": "x"}),
            ("/", {"inputs": "x"}),
        ):
            async with mesh.http.post(path, json=body) as response:
                assert response.status != 503, await response.text()
        for _, writer in others:
            writer.close()
        await asyncio.gather(*answers, return_exceptions=True)


BEARER = {"Authorization": f"Bearer {KEY}"}
PROBLEM = {"type", "title", "status", "detail", "retry_after"}
FULL: dict[str, tuple[set[str], dict[str, str]]] = {
    NATIVE: ({"type", "title", "status", "detail", "retry_after"}, {"Authorization": f"Bearer {KEY}"}),
    "/controlmesh/v1/assets": (
        {"type", "title", "status", "detail", "retry_after"},
        {"Authorization": f"Bearer {KEY}"},
    ),
    "/": ({"error"}, {"Authorization": f"Bearer {KEY}"}),
    SCENARIO: ({"reason", "message", "trace_id"}, {"Authorization": f"Bearer {KEY}"}),
    ENTERPRISE: ({"status", "message", "messege", "retry_after"}, {"key": KEY}),
    "/api/v7/images/controlnet": ({"status", "message", "messege", "retry_after"}, {"key": KEY}),
    "/api/v5/controlnet": ({"status", "message", "messege", "retry_after"}, {}),
}


async def test_beyond_the_budget_every_dialect_says_when_to_come_back_in_its_own_shape() -> None:
    async with running(api_keys=(KEY,), body_budget_bytes=24 * MIB) as mesh:
        hold = mesh.gateway.bodies.budget.hold("198.51.100.1", keyed=True)
        hold.cover(24 * MIB)
        for path, (shape, headers) in FULL.items():
            async with mesh.http.post(path, data=b'{"a":"x"}', headers={"Content-Type": JSON, **headers}) as response:
                answer = await response.json(content_type=None)
                assert response.status == 503 and shape <= set(answer), (path, answer)
                assert response.headers["Retry-After"] == "2"
        hold.release()
        async with mesh.http.post(NATIVE, json={"prompt": "x"}, headers=FULL[NATIVE][1]) as response:
            assert response.status == 200


async def test_an_upload_s_part_counts_too() -> None:
    async with running(body_budget_bytes=24 * MIB) as mesh:
        announced = {"kind": "image", "fileName": "a.png", "fileSize": 9, "parts": 1, "contentType": "image/png"}
        async with mesh.http.post("/v1/uploads", json=announced) as response:
            url = (await response.json())["upload"]["parts"][0]["url"]
        hold = mesh.gateway.bodies.budget.hold("198.51.100.1", keyed=True)
        hold.cover(24 * MIB)
        async with mesh.http.put(url, data=b"123456789") as response:
            assert response.status == 503
        hold.release()
        async with mesh.http.put(url, data=b"123456789") as response:
            assert response.status == 204
        assert mesh.gateway.bodies.budget.held == 0


async def test_a_stranger_who_sends_no_more_is_told_so_within_seconds() -> None:
    async with running(api_keys=(KEY,), body_portion_s=0.1) as mesh:
        host, port = mesh.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST {ENTERPRISE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MIB}\r\n\r\n".encode() + b'{"a":"x'
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert b" 408 " in head
        assert mesh.gateway.bodies.budget.held == 0
        writer.close()


async def test_bytes_are_given_back_while_the_answer_is_waited_for(keyed: Running) -> None:
    keyed.rooms.pace.clear()
    try:
        asking = asyncio.create_task(post(keyed, ENTERPRISE, as_json(KEY, first=True)))
        await asyncio.wait_for(keyed.rooms.seen.started.wait(), 30)
        assert keyed.gateway.bodies.budget.held == 0
    finally:
        keyed.rooms.pace.set()
    assert (await asking)[1]["status"] == "success"


@pytest.mark.parametrize("path", [NATIVE, "/", SCENARIO, ENTERPRISE])
@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/json;charset=UTF-8"]
)
async def test_a_byte_order_mark_is_passed_over_in_every_dialect(keyed: Running, path: str, content_type: str) -> None:
    bodies: dict[str, dict[str, Any]] = {
        NATIVE: {"prompt": "a boat", "steps": 1},
        "/": {"inputs": "a boat", "parameters": {}},
        SCENARIO: {"prompt": "a boat", "modelId": "demo"},
        ENTERPRISE: {**SAMPLE, "model_id": "demo", "key": KEY},
    }
    headers = {"Content-Type": content_type, "Authorization": f"Bearer {KEY}", "Idempotency-Key": f"{content_type}"}
    plain = json.dumps(bodies[path]).encode()
    status, answer = await post(keyed, path, b"\xef\xbb\xbf" + plain, **headers)
    assert status == 200, answer
    # With the mark or without it is the same request.
    assert (await post(keyed, path, plain, **headers))[0] == 200


async def test_over_grpc_nothing_of_a_message_is_read_without_a_key(keyed: Running) -> None:
    read: list[int] = []

    class Counting(grpc.aio.ServerInterceptor):
        """Stands where the service stands, and counts the bytes of the messages that are read."""

        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            handler = await continuation(details)
            build = (
                grpc.unary_stream_rpc_method_handler if handler.unary_stream else grpc.unary_unary_rpc_method_handler
            )

            def deserialize(message: bytes) -> Any:
                read.append(len(message))
                return handler.request_deserializer(message)

            return build(handler.unary_stream or handler.unary_unary, deserialize, handler.response_serializer)

    server = grpc.aio.server(
        interceptors=[CallInterceptor(), KeyFirst(keyed.gateway.keys), Counting()], options=MESSAGE_OPTIONS
    )

    generation_pb2_grpc.add_GenerationServiceServicer_to_server(grpc_face.Generations(keyed.gateway), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    image = types_pb2.Image(content=os.urandom(16 * MIB))
    large = generation_pb2.GenerateRequest(prompt="a boat", image=image)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=MESSAGE_OPTIONS) as channel:
            stub = generation_pb2_grpc.GenerationServiceStub(channel)
            for metadata in ((), (("authorization", "Bearer wrong"),), (("authorization", KEY),)):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    async for _ in stub.Generate(large, metadata=metadata):
                        pass
                assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await stub.SubmitJob(generation_pb2.SubmitJobRequest(generation=large), metadata=metadata)
                assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert not read
            request = generation_pb2.GenerateRequest(prompt="a boat")
            answers = [one async for one in stub.Generate(request, metadata=(("authorization", f"Bearer {KEY}"),))]
            assert answers[-1].result.images and len(read) == 1
    finally:
        await server.stop(None)
