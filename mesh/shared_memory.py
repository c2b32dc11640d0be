"""System shared memory with Triton: tensors that are constant over a loop are sent once instead of every step."""

import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import resource_tracker, shared_memory
from types import TracebackType
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from mesh.telemetry import log

_SMALLEST = 1 << 18
_ALIGN = 64


@dataclass(frozen=True)
class Place:
    """Where one tensor is: a registered region, an offset in bytes, its dtype and shape."""

    region: str
    offset: int
    nbytes: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Held:
    """Tensors that many calls send: by reference (`placed`) or, without shared memory, by value (`inlined`)."""

    placed: Mapping[str, Place] = field(default_factory=dict)
    inlined: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    release: Callable[[], Awaitable[None]] | None = None

    @classmethod
    def inline(cls, tensors: Mapping[str, NDArray[np.generic]]) -> "Held":
        """Share nothing: every call carries the tensors."""
        return cls(inlined=dict(tensors))

    def renamed(self, names: Mapping[str, str]) -> "Held":
        """The tensors of `names` (input name -> held name) under their input names; `self` keeps the memory."""
        return Held(
            placed={name: self.placed[held] for name, held in names.items() if held in self.placed},
            inlined={name: self.inlined[held] for name, held in names.items() if held in self.inlined},
        )

    async def __aenter__(self) -> "Held":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.release:
            await self.release()


class Arena:
    """Shared memory regions of this process registered with one Triton, reused by size so that registering is rare.

    Sizes are powers of two from 256 KiB; a released region serves the next request of its size.

    Args:
        stub: of Triton's service.
        metadata: that its calls to register memory carry.
    """

    def __init__(self, stub: Any, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self._stub = stub
        self._metadata = metadata
        self._regions: dict[str, shared_memory.SharedMemory] = {}
        self._free: dict[int, list[shared_memory.SharedMemory]] = defaultdict(list)

    async def hold(self, tensors: Mapping[str, NDArray[np.generic]]) -> Held:
        """Copy `tensors` into one region and return where each of them is."""
        offsets: dict[str, int] = {}
        end = 0
        for name, array in tensors.items():
            offsets[name] = end
            end += math.ceil(array.nbytes / _ALIGN) * _ALIGN
        size = max(_SMALLEST, 1 << (end - 1).bit_length())
        region = self._free[size].pop() if self._free[size] else await self._new(size)

        async def release() -> None:
            self._free[size].append(region)

        placed = {}
        for name, array in tensors.items():
            view = np.ndarray(array.shape, array.dtype, buffer=region.buf, offset=offsets[name])
            view[...] = array
            placed[name] = Place(region.name, offsets[name], array.nbytes, array.dtype, array.shape)
        return Held(placed=placed, release=release)

    async def _new(self, size: int) -> shared_memory.SharedMemory:
        region = shared_memory.SharedMemory(create=True, size=size)
        self._regions[region.name] = region
        await self._register(region)
        return region

    async def _register(self, region: shared_memory.SharedMemory) -> None:
        request = service_pb2.SystemSharedMemoryRegisterRequest(
            name=region.name, key=f"/{region.name}", offset=0, byte_size=region.size
        )
        try:
            await self._stub.SystemSharedMemoryRegister(request, timeout=5, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.ALREADY_EXISTS:
                # The inference that needs the region will fail and report it; this line is the reason.
                log.warning("shared memory not registered", region=region.name, details=error.details())

    async def register_again(self) -> None:
        """Register all regions with a restarted Triton."""
        for region in list(self._regions.values()):
            await self._register(region)

    async def close(self) -> None:
        """Unregister and remove every region."""
        for name, region in self._regions.items():
            try:
                await self._stub.SystemSharedMemoryUnregister(
                    service_pb2.SystemSharedMemoryUnregisterRequest(name=name), timeout=1, metadata=self._metadata
                )
            except grpc.aio.AioRpcError as error:
                log.debug("shared memory not unregistered", region=name, code=error.code().name)
            region.close()
            region.unlink()
        self._regions.clear()
        self._free.clear()


# Python's tracker unlinks leaked regions when this process dies, so a kill leaves nothing in /dev/shm.
resource_tracker.ensure_running()
