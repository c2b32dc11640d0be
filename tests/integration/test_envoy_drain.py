"""What a pod of Envoy does before it is stopped: it is not ready, and it waits for what is in flight."""

import asyncio
import time
from pathlib import Path

import aiohttp

from controlmesh.v1 import unet_pb2, unet_pb2_grpc
from mesh.channels import open_channel
from tests.rigs.envoy import BOOTSTRAP, eventually, running_room
from tests.rigs.envoy_services import Unet
from tests.rigs.envoy_site import Site, running_site

DRAIN = BOOTSTRAP.parent / "drain.sh"


async def drain(site: Site, limit: int) -> asyncio.subprocess.Process:
    # -x: each command that the script comes to, on stderr.
    command = ["bash", "-x", DRAIN, str(limit), str(site.envoy.admin)]
    return await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)


async def looks(process: asyncio.subprocess.Process, times: int) -> None:
    """Wait until the script has looked this often for what is in flight."""
    assert process.stderr
    while times:
        line = await process.stderr.readline()
        assert line, "the script ended"
        times -= line.count(b"in_flight")


async def readiness(site: Site) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{site.envoy.metrics}/ready") as reply:
        return reply.status


async def test_draining_waits_for_the_last_answer_at_the_edge_and_in_the_mesh(tmp_path: Path) -> None:
    unet = Unet()
    async with (
        running_room("unet", unet) as room,
        running_site(tmp_path, others={"unet": [room.port]}) as site,
        open_channel(f"127.0.0.1:{site.envoy.mesh}") as channel,
    ):
        stream = unet_pb2_grpc.UnetServiceStub(channel).Denoise(unet_pb2.DenoiseRequest(), timeout=60)
        assert (await stream.read()).progress.step == 1
        assert await readiness(site) == 200
        async with site.client.get(site.url("/controlmesh/v1/generations/abc/events")) as reply:
            await reply.content.readuntil(b"\n\n")
            process = await drain(site, limit=60)

            async def unready() -> bool:
                return await readiness(site) == 503

            await eventually(unready, "the pod is not ready")
            # New requests are still served while load balancers find out.
            async with site.client.get(site.url("/late")) as late:
                assert late.status == 200
            # Past its own pause, the answer in flight is all that holds it.
            await asyncio.wait_for(looks(process, times=3), 20)
            assert process.returncode is None
            site.gateway.release.set()
            assert await reply.content.read() == b"data: last\n\n"
        # Pictures that the services are making count as much as clients who wait.
        await asyncio.wait_for(looks(process, times=2), 20)
        assert process.returncode is None
        unet.release.set()
        assert (await asyncio.wait_for(stream.read(), 5)).progress.step == 2
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_draining_ends_at_its_limit(tmp_path: Path) -> None:
    async with (
        running_site(tmp_path) as site,
        site.client.get(site.url("/controlmesh/v1/generations/abc/events")) as reply,
    ):
        await reply.content.readuntil(b"\n\n")
        began = time.monotonic()
        process = await drain(site, limit=7)
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert 6 < time.monotonic() - began < 15
        assert not reply.content.at_eof()
        site.gateway.release.set()
