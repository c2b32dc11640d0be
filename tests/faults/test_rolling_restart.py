"""Every service is restarted under load, one replica after another, and no request notices."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.rolling_load import Load, in_rotation, roll
from tests.rigs.envoy import Envoy, eventually, running_envoy
from tests.rigs.ports import free_ports
from tests.rigs.replicas import Fork, gateway, room

SERVICES = ("preprocess", "unet", "vae")
A_SECOND = 4


def hasty(bootstrap: dict[str, Any]) -> None:
    """Health checks ten times as often as they are, with the drains of tests/rigs/replicas.py shorter by less."""
    for cluster in bootstrap["static_resources"]["clusters"]:
        for check in cluster.get("health_checks", ()):
            check.update(interval="0.1s", no_traffic_interval="0.1s", unhealthy_interval="0.1s")


@asynccontextmanager
async def doubled(folder: Path) -> AsyncIterator[tuple[Envoy, dict[str, list[Fork]]]]:
    """Two replicas of every service behind Envoy; service -> both."""
    ports = iter(free_ports(10))
    both = (1, 2)
    rooms = {cluster: [room(cluster, next(ports), which, folder) for which in both] for cluster in SERVICES}
    faces = [(next(ports), next(ports)) for _ in both]
    upstreams = {cluster: [one.ports[cluster] for one in replicas] for cluster, replicas in rooms.items()}
    upstreams |= {"gateway": [http for http, _ in faces], "gateway_grpc": [grpc for _, grpc in faces]}
    async with AsyncExitStack() as stack:
        envoy = await stack.enter_async_context(running_envoy(folder, upstreams, hasty))
        settings = {
            "mesh_address": f"127.0.0.1:{envoy.mesh}",
            "database_url": f"sqlite:///{folder}/records.db",
            "storage_url": (folder / "assets").as_uri(),
            "default_model": "demo",
        }
        gateways = [
            gateway(http, grpc, which, folder, **settings) for which, (http, grpc) in zip(both, faces, strict=True)
        ]
        replicas = {**rooms, "gateway": gateways}
        for pair in replicas.values():
            for one in pair:
                await one.start()
                stack.push_async_callback(one.kill)
                if one is gateways[0]:
                    # It makes the database's tables.
                    await in_rotation(envoy, one)
        for pair in replicas.values():
            for one in pair:
                await in_rotation(envoy, one)
        yield envoy, replicas


@pytest.mark.slow
async def test_a_rolling_restart_of_every_service_costs_no_request(tmp_path: Path) -> None:
    async with doubled(tmp_path) as (envoy, replicas):
        load = Load(f"http://127.0.0.1:{envoy.edge}", A_SECOND)
        async with load.running():
            restarts = await roll(envoy, [one for pair in replicas.values() for one in pair])
        assert load.failed() == []
        assert len(restarts) == 8
        for restart in restarts:
            # There was something to lose.
            assert any(
                one.began < restart.began + restart.seconds and one.began + one.seconds > restart.began
                for one in load.asked
            ), restart.name

        # A process that goes without its drain takes its loops along, and the load sees it.
        async def failing() -> bool:
            return bool(load.failed())

        async with load.running():
            for one in replicas["unet"]:
                await one.kill()
            await eventually(failing, "the load sees that nobody denoises")
