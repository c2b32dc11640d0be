"""Both clients on a road where connections are cut and others answer."""

import asyncio
import json
import signal
import sys

import pytest

from controlmesh_client import AsyncClient, NoAnswer, Overloaded, Patience, UnexpectedAnswer
from tests.client.both import Both, called, followed
from tests.client.conftest import Connect
from tests.client.road import CutAfter, Instead, Road
from tests.contract.conftest import Running
from tests.rigs.ports import free_port

BUSY = json.dumps({"type": "/controlmesh/v1/problems/overloaded", "status": 429, "detail": "busy", "retry_after": 5})


async def jobs(gateway: Running) -> list[str]:
    async with gateway.http.get("/controlmesh/v1/generations") as response:
        return [record["status"] for record in (await response.json())["generations"]]


@pytest.mark.parametrize(
    ("plan", "pause_s"),
    [
        (Instead(503, "Retry-After: 7\r\n", b"upstream connect error"), 7.5),
        (Instead(429, "Retry-After: 5\r\n", BUSY.encode()), 5.5),
        (Instead(504), 1.0),
        (CutAfter(b'"status":'), 1.0),
        (CutAfter(b"HTTP/1.1 2"), 1.0),
    ],
)
async def test_a_request_without_an_answer_is_the_same_one_again(
    gateway: Running, connect: Connect, plan: CutAfter | Instead, pause_s: float
) -> None:
    async with Road(gateway.url, [plan]) as road, connect(road.url) as mesh:
        made = await mesh.ask("generate", "a boat", steps=1, seed=7)
        assert made[0].seed == 7 and mesh.pauses == [pause_s]
        assert await jobs(gateway) == ["succeeded"]
        first, again = road.keys()
        assert first == again
        await mesh.ask("generate", "a boat", steps=1, seed=7)
        assert len(await jobs(gateway)) == 2 and road.keys()[2] != first


async def test_a_mesh_that_stays_busy_is_not_asked_for_ever(gateway: Running, connect: Connect) -> None:
    busy = Instead(429, "Retry-After: 5\r\n", BUSY.encode())
    async with Road(gateway.url, [busy] * 3) as road, connect(road.url, patience=Patience(3, 1.0)) as mesh:
        with pytest.raises(Overloaded, match="busy") as refused:
            await mesh.ask("generate", "a boat")
        assert (refused.value.retry_after_s, mesh.pauses, len(road.asked)) == (5, [5.5, 5.5], 3)
        road.plans = [Instead(429, "Retry-After: 3600\r\n", BUSY.encode())]
        mesh.pauses.clear()
        with pytest.raises(Overloaded):
            await mesh.ask("generate", "a boat")
        assert mesh.pauses == []


async def test_a_cut_stream_of_events_is_taken_up_where_it_was(gateway: Running, connect: Connect) -> None:
    async with Road(gateway.url, [CutAfter(b'"step":1,')]) as road, connect(road.url) as mesh:
        gateway.rooms.pace.clear()
        job = await mesh.ask("submit", "a boat", steps=3)
        await gateway.rooms.seen.started.wait()
        heard = []
        async for progress in followed(job):
            heard.append(progress.done)
            gateway.rooms.pace.set()
        assert job.status == "succeeded" and heard == sorted(set(heard))
        streams = [head for head in road.asked if "/events" in head.split("\r\n")[0]]
        # Its own, or the one that the mesh named in an event before.
        assert len(streams) == 2 and mesh.pauses in ([1.0], [2.0])
        assert len(await called(job, "result")) == 1


async def test_where_streams_end_without_a_word_the_job_is_asked_about(gateway: Running, connect: Connect) -> None:
    silent = Instead(200, "Content-Type: text/event-stream\r\n")
    gateway.rooms.pace.clear()
    async with connect(gateway.url) as mesh:
        job = await mesh.ask("submit", "a boat", steps=2)
    async with Road(gateway.url, [None, silent, silent, silent]) as road, connect(road.url) as mesh:
        known = await mesh.ask("job", job.id)
        # A connection that is kept alive would be used again.
        road.plans = [silent, silent, silent]
        await road.hang_up()
        gateway.rooms.pace.set()
        assert len(await called(known, "result")) == 1
        assert road.plans == [] and mesh.pauses[:3] == [1.0] * 3


async def test_a_proxy_that_knows_no_streams_is_no_hindrance(gateway: Running, connect: Connect) -> None:
    async with connect(gateway.url) as mesh:
        job = await mesh.ask("submit", "a boat", steps=1)
    async with Road(gateway.url) as road, connect(road.url) as mesh:
        known = await mesh.ask("job", job.id)
        road.plans = [Instead(200, "Content-Type: application/json\r\n", b"{}")]
        await road.hang_up()
        assert len(await called(known, "result")) == 1


async def test_a_mesh_that_is_not_there_is_said_so(connect: Connect) -> None:
    async with connect(f"http://127.0.0.1:{free_port()}") as mesh:
        with pytest.raises(NoAnswer, match=r"no answer from http://127\.0\.0\.1:.*ConnectError"):
            await mesh.ask("models")
        assert mesh.pauses == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Instead(200, "", b"<html>Welcome"), "<html>Welcome"),
        (Instead(301, "Location: https://elsewhere.example/\r\n"), "https://elsewhere.example/"),
    ],
)
async def test_another_server_is_found_out(gateway: Running, connect: Connect, plan: Instead, words: str) -> None:
    async with Road(gateway.url, [plan]) as road, connect(road.url) as mesh:
        with pytest.raises(UnexpectedAnswer, match=words):
            await mesh.ask("models")


async def test_a_task_that_is_cancelled_takes_its_generation_along(gateway: Running) -> None:
    gateway.rooms.pace.clear()
    async with Both("AsyncClient", gateway.url) as mesh:
        assert isinstance(mesh.client, AsyncClient)
        waiting = asyncio.create_task(mesh.client.generate("a boat"))
        await gateway.rooms.seen.started.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(gateway.rooms.seen.cancelled.wait(), 10)
        assert await jobs(gateway) == ["cancelled"]


async def test_ctrl_c_takes_the_generation_along(gateway: Running) -> None:
    gateway.rooms.pace.clear()
    # Whoever runs the tests in the background may have it ignored.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heard}; from controlmesh_client import Client; Client({gateway.url!r}).generate('a boat')"
    run = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stderr=asyncio.subprocess.PIPE)
    await gateway.rooms.seen.started.wait()
    run.send_signal(signal.SIGINT)
    _, errors = await run.communicate()
    assert errors.rstrip().endswith(b"KeyboardInterrupt")
    await asyncio.wait_for(gateway.rooms.seen.cancelled.wait(), 10)
    assert await jobs(gateway) == ["cancelled"]
