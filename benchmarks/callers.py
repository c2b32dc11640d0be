"""Concurrent callers of preprocess_svc, each requesting its next hint as soon as it has one."""

import asyncio
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import costs
from controlmesh.v1 import preprocess_pb2, preprocess_pb2_grpc, types_pb2
from local.supervision import LocalMesh
from mesh.channels import call, open_channel
from mesh.pictures import Pixels, encode


@dataclass(frozen=True, slots=True)
class Load:
    """The result of one load: hints per second, times per hint in ms, CPU-ms per hint of all processes of the mesh."""

    hints: float
    p50: float
    p95: float
    cpu: float


def load(
    mesh: LocalMesh, kind: str, parameters: Mapping[str, float], picture: Pixels, callers: int, seconds: float
) -> Load:
    """Call ExtractHint for `picture` with `callers` concurrent callers, directly at preprocess_svc, for `seconds`.

    Raises MeshError if the mesh does not make the hint.
    """
    height, width = picture.shape[:2]
    request = preprocess_pb2.ExtractHintRequest(
        control=types_pb2.Control(
            kind=kind, image=types_pb2.Image(content=encode(picture)), auto_hint=True, parameters=parameters
        ),
        width=width,
        height=height,
    )
    before, began = sum(costs.cpu_seconds(mesh).values()), time.perf_counter()
    times = asyncio.run(_ask(mesh.settings.preprocess_address, request, callers, seconds))
    took, spent = time.perf_counter() - began, sum(costs.cpu_seconds(mesh).values()) - before
    ms = sorted(1000 * one for one in times)
    p95 = statistics.quantiles(ms, n=20)[-1] if len(ms) > 1 else ms[0]
    return Load(len(ms) / took, statistics.median(ms), p95, 1000 * spent / len(ms))


async def _ask(address: str, request: preprocess_pb2.ExtractHintRequest, callers: int, seconds: float) -> list[float]:
    """Seconds of each answer."""
    async with open_channel(address) as channel:
        stub: Any = preprocess_pb2_grpc.PreprocessServiceStub(channel)
        # The first call opens the connection.
        await call(stub.ExtractHint(request, timeout=60))
        end = time.perf_counter() + seconds

        async def one() -> list[float]:
            times = []
            while (began := time.perf_counter()) < end:
                await call(stub.ExtractHint(request, timeout=60))
                times.append(time.perf_counter() - began)
            return times

        return [taken for times in await asyncio.gather(*(one() for _ in range(callers))) for taken in times]


def offered(mesh: LocalMesh) -> dict[str, preprocess_pb2.ControlKind]:
    """The kinds that preprocess_svc lists."""

    async def ask() -> preprocess_pb2.ListControlsResponse:
        async with open_channel(mesh.settings.preprocess_address) as channel:
            stub: Any = preprocess_pb2_grpc.PreprocessServiceStub(channel)
            return await call(stub.ListControls(preprocess_pb2.ListControlsRequest(), timeout=30))

    return {row.kind: row for row in asyncio.run(ask()).controls}
