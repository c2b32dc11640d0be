"""A tenth of the calls to the services is refused before anything ran, as by Envoy's fault filter."""

import asyncio
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

from tests.contract.conftest import Running, running, serving
from tests.rigs.envoy import manager, running_envoy
from tests.rigs.jobs import eventually
from tests.rigs.services import FakeRooms

API = "/controlmesh/v1"
ASKED = {"prompt": "a boat", "steps": 1, "width": 64, "height": 64}


class Chance:
    """Refuses a share of the calls, and counts all of them by whether it did."""

    def __init__(self, share: float, service: str = "") -> None:
        self._chance, self._share, self._service = random.Random(3), share, service
        self.calls: Counter[bool] = Counter()

    def __call__(self, method: str) -> bool:
        if self._service not in method or "Health" in method:
            return False
        refused = self._chance.random() < self._share
        self.calls[refused] += 1
        return refused


async def post(mesh: Running, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    async with mesh.http.post(f"{API}{path}", json=ASKED | body) as response:
        return response.status, await response.json()


async def test_hardly_a_request_fails_and_no_job_is_lost(tmp_path: Path) -> None:
    async with running(database_url=f"sqlite:///{tmp_path}/records.db", max_waiting=200) as mesh:
        mesh.rooms.refuses = chance = Chance(0.1)
        waiting = [await post(mesh, "/generations?wait=0", seed=seed) for seed in range(15)]
        answers = []
        for _ in range(4):
            answers += await asyncio.gather(*(post(mesh, "/generations", seed=seed) for seed in range(20)))
        # One in ten thousand calls fails by chance; without a second try it would be more than twenty of these.
        assert Counter(status for status, _ in answers)[200] >= 79
        assert chance.calls[True] > 15, "as many were refused as the test is about"
        for status, job in waiting:
            assert status == 202
            done = await mesh.gateway.jobs.wait(job["id"], "anybody", 60)
            assert done.status == "succeeded"


def faulty(bootstrap: dict[str, Any]) -> None:
    """Let the mesh's listener refuse a tenth of the services' calls before anything ran."""
    fault = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
        "headers": [{"name": ":path", "string_match": {"prefix": "/controlmesh.v1."}}],
        "abort": {"grpc_status": 14, "percentage": {"numerator": 10}},
    }
    manager(bootstrap, "mesh")["http_filters"].insert(0, {"name": "envoy.filters.http.fault", "typed_config": fault})


async def test_envoy_s_own_fault_filter_hardly_lets_a_request_fail(tmp_path: Path) -> None:
    async with FakeRooms() as rooms:
        port = [int(rooms.address.rpartition(":")[2])]
        upstreams = {"preprocess": port, "unet": port, "vae": port}
        async with (
            running_envoy(tmp_path, upstreams, faulty) as envoy,
            serving(rooms, mesh_address=f"127.0.0.1:{envoy.mesh}") as mesh,
        ):
            answers = []
            for _ in range(5):
                answers += await asyncio.gather(*(post(mesh, "/generations", seed=seed) for seed in range(20)))
            (count,) = re.findall(r"aborts_injected: (\d+)", await envoy.ask("GET", "/stats?filter=aborts_injected"))
            assert Counter(status for status, _ in answers)[200] >= 99, answers
            assert int(count) > 15, "as many were refused as the test is about"


async def test_an_outage_is_not_multiplied_and_is_told_at_once() -> None:
    async with running() as mesh:
        await post(mesh, "/generations")
        mesh.rooms.refuses = chance = Chance(1.0, "UnetService/Denoise")
        answers = [await post(mesh, "/generations") for _ in range(40)]
        assert {status for status, _ in answers} == {503}
        assert chance.calls[True] <= 40 * 1.2 * 4 and chance.calls[True] < 40 + 10 + 40 * 5 * 0.2


async def test_a_service_that_is_gone_fails_who_waits_at_once_and_delays_who_does_not(tmp_path: Path) -> None:
    async with running(database_url=f"sqlite:///{tmp_path}/records.db") as mesh:
        mesh.rooms.refuses = Chance(1.0, "VaeService")
        status, said = await post(mesh, "/generations")
        assert (status, said["retry_after"]) == (503, 2)
        status, job = await post(mesh, "/generations?wait=0")
        assert status == 202

        async def was_refused() -> bool:
            return len(mesh.rooms.seen.denoised) == 2

        await eventually(was_refused)
        mesh.rooms.refuses = lambda method: False
        done = await mesh.gateway.jobs.wait(job["id"], "anybody", 60)
        assert (done.status, done.attempts) == ("succeeded", 1)
