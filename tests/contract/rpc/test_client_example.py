"""The documented client does what it says, against a real server."""

import asyncio
import sys
from pathlib import Path

import grpc
import numpy as np

from controlmesh.v1 import generation_pb2_grpc
from gateway.bootstrap import open_gateway
from gateway.dialects.table import VOICES
from gateway.rpc.servicer import Generations
from gateway.settings import GatewaySettings
from mesh.errors import InvalidInput
from mesh.interceptors import CallInterceptor
from mesh.pictures import check, decode, encode
from tests.rigs.services import FakeRooms

ROOT = Path(__file__).resolve().parents[3]
CLIENT = ROOT / "docs" / "examples" / "grpc_client.py"


async def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code and both outputs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, CLIENT, *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


async def test_it_submits_watches_saves_and_says_what_is_wrong(tmp_path: Path) -> None:
    source = tmp_path / "source.png"
    source.write_bytes(encode(np.zeros((64, 96, 3), np.uint8)))
    async with (
        FakeRooms() as rooms,
        open_gateway(GatewaySettings(mesh_address=rooms.address, api_keys=("mine",)), VOICES) as gateway,
    ):
        server = grpc.aio.server(interceptors=[CallInterceptor()])
        generation_pb2_grpc.add_GenerationServiceServicer_to_server(Generations(gateway), server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        to = ("--address", address, "--key", "mine", "--out", tmp_path / "made")
        asked = ("a boat", "--steps", "3", "--seed", "9", "--samples", "2", "--control", "canny", "--image", source)

        code, out, err = await run(*asked, *to, "--idempotency-key", "one", "--priority", "7")
        assert code == 0, err
        paths = [Path(line) for line in out.split()]
        assert [path.stem.rpartition("-")[2] for path in paths] == ["9", "10"]
        for path, seed in zip(paths, (9, 10), strict=True):
            assert check(path.read_bytes())[1:] == (96, 64) and decode(path.read_bytes())[0, 0, 0] == seed
        assert "succeeded" in err and "6/6" in err
        assert rooms.seen.prepared[0].controls[0].image.content == source.read_bytes()

        again = await run(*asked, *to, "--idempotency-key", "one", "--priority", "7")
        assert (again[0], again[1]) == (0, out) and len(rooms.seen.denoised) == 2, "the same job"

        code, _, err = await run("a boat", "--steps", "0", *to)
        assert code == 1 and "INVALID_ARGUMENT" in err and "(field steps)" in err
        code, _, err = await run("a boat", "--address", address)
        assert code == 1 and "UNAUTHENTICATED" in err
        rooms.failure = InvalidInput("controls[0].image is broken", field="controls[0].image")
        code, out, err = await run("a boat", *to)
        assert (code, out) == (1, "") and "INVALID_ARGUMENT: controls[0].image is broken" in err
        await server.stop(None)
