"""The client of Triton Inference Server: KServe v2 over gRPC, no retries, deadlines passed on, errors in our words.

Built on the stubs that `tritonclient` ships, because its InferenceServerClient rebuilds and copies every input a call,
and a denoising step has a budget of a few milliseconds.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from mesh.channels import MESSAGE_OPTIONS
from mesh.errors import DeadlineExceeded, InternalError, MeshError, NotFound, Overloaded, Unavailable
from mesh.shared_memory import Arena, Held
from mesh.telemetry import log

Array = NDArray[np.generic]

_NAMES = {"uint8": "UINT8", "int64": "INT64", "float16": "FP16", "float32": "FP32"}
_CHANGE_TIMEOUT_S = 600.0
"""A graph of gigabytes is read from a disk, and compiled perhaps."""
_DTYPES = {name: np.dtype(dtype) for dtype, name in _NAMES.items()}


class Triton:
    """One channel to one Triton.

    Args:
        url: host:port of its gRPC service.
        shared_memory: True where this process and Triton share /dev/shm (same machine or pod): `hold` then passes
            tensors by reference.
        timeout_s: deadline of one inference.
    """

    def __init__(self, url: str, *, shared_memory: bool = False, timeout_s: float = 60.0) -> None:
        self._channel = grpc.aio.insecure_channel(url, options=MESSAGE_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._arena = Arena(self._stub) if shared_memory else None
        self._timeout_s = timeout_s

    async def close(self) -> None:
        """Give shared memory back and close the channel."""
        if self._arena:
            await self._arena.close()
        await self._channel.close()

    async def hold(self, tensors: Mapping[str, Array]) -> Held:
        """Tensors that many calls will send: placed once in shared memory if there is any, else sent with each call.

        Use as an async context manager; the memory is free again at its end.
        """
        return await self._arena.hold(tensors) if self._arena else Held.inline(tensors)

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        outputs: Iterable[str],
        held: Held | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Array]:
        """Run `model` once.

        Args:
            model: graph name.
            inputs: tensors by name, each with its leading batch dimension.
            outputs: names of the outputs wanted.
            held: further inputs, from `hold`.
            timeout_s: deadline of this call; None takes the client's.

        Returns:
            The outputs by name, read-only.

        Raises:
            Overloaded: the graph's queue is full.
            DeadlineExceeded: no answer in time.
            Unavailable: no model server there, or it is going away, or the graph's process died.
            NotFound: no such graph loaded.
            InternalError: anything else; Triton's own words go to the log only.
        """
        request = service_pb2.ModelInferRequest(model_name=model)
        for name, array in {**inputs, **(held.inlined if held else {})}.items():
            request.inputs.add(name=name, datatype=_NAMES[array.dtype.name], shape=array.shape)
            request.raw_input_contents.append(array.tobytes())
        if held:
            for name, place in held.placed.items():
                tensor = request.inputs.add(name=name, datatype=_NAMES[place.dtype.name], shape=place.shape)
                tensor.parameters["shared_memory_region"].string_param = place.region
                tensor.parameters["shared_memory_byte_size"].int64_param = place.nbytes
                if place.offset:
                    tensor.parameters["shared_memory_offset"].int64_param = place.offset
        for name in outputs:
            request.outputs.add(name=name)
        deadline = self._timeout_s if timeout_s is None else timeout_s
        try:
            try:
                response = await self._stub.ModelInfer(request, timeout=deadline)
            except grpc.aio.AioRpcError as error:
                # A model server that was restarted has forgotten the regions; everything else is not ours to repeat.
                if not (self._arena and held and held.placed and "shared memory region" in (error.details() or "")):
                    raise
                await self._arena.register_again()
                response = await self._stub.ModelInfer(request, timeout=deadline)
        except grpc.aio.AioRpcError as error:
            translated = _translated(error, model)
            if isinstance(translated, NotFound | InternalError) and not await self._serves():
                # On its way out it answers, but has dropped its graphs.
                translated = _away()
            raise translated from error
        return {
            tensor.name: np.frombuffer(content, _DTYPES[tensor.datatype]).reshape(tuple(tensor.shape))
            for tensor, content in zip(response.outputs, response.raw_output_contents, strict=True)
        }

    async def _serves(self) -> bool:
        try:
            answer = await self._stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=5)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.ready)

    async def is_ready(self, model: str) -> bool:
        """Whether Triton says that `model` is loaded; it says so of a dead Python process, too: infer to be sure."""
        try:
            answer = await self._stub.ModelReady(service_pb2.ModelReadyRequest(name=model), timeout=5)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, model) from error
        return bool(answer.ready)

    async def load(self, model: str, config: str, files: Mapping[str, bytes]) -> None:
        """Load `model` from its configuration in JSON and files by path ("file:1/..."); replaces what had its name.

        Raises:
            MeshError: as `infer`.
        """
        request = service_pb2.RepositoryModelLoadRequest(model_name=model)
        request.parameters["config"].string_param = config
        for path, content in files.items():
            request.parameters[path].bytes_param = content
        began = time.monotonic()
        try:
            await self._stub.RepositoryModelLoad(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, model) from error
        log.info("graph registered", graph=model, seconds=round(time.monotonic() - began, 3))

    async def load_stored(self, model: str) -> None:
        """Load `model` from the model server's own repository; what has its name is replaced once it is there.

        Raises:
            MeshError: as `infer`.
        """
        await self._change(self._stub.RepositoryModelLoad, service_pb2.RepositoryModelLoadRequest(model_name=model))

    async def unload(self, model: str) -> None:
        """Unload `model` once nothing runs on it; one that is not loaded does not matter.

        Raises:
            MeshError: as `infer`.
        """
        await self._change(self._stub.RepositoryModelUnload, service_pb2.RepositoryModelUnloadRequest(model_name=model))

    async def loaded(self) -> frozenset[str]:
        """Names of everything that is loaded.

        Raises:
            MeshError: as `infer`.
        """
        try:
            index = await self._stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(ready=True), timeout=5)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, "") from error
        return frozenset(model.name for model in index.models)

    async def _change(self, method: Any, request: Any) -> None:
        try:
            await method(request, timeout=_CHANGE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, request.model_name) from error


def _away() -> Unavailable:
    return Unavailable("the model server does not answer; try again in a few seconds", retry_after_s=2)


def _translated(error: grpc.aio.AioRpcError, model: str) -> MeshError:
    code, words = error.code(), error.details() or ""
    # While the model server is away every probe would say so; readiness tells it once.
    level = log.debug if code == grpc.StatusCode.UNAVAILABLE else log.warning
    level("model server refused", graph=model, code=code.name, details=words)
    # Triton says UNAVAILABLE for a full queue as it does for a dead connection; only its words tell them apart.
    if "maximum queue size" in words:
        return Overloaded("the model's queue is full; try again shortly", retry_after_s=1)
    if code == grpc.StatusCode.DEADLINE_EXCEEDED or "timeout expired" in words:
        return DeadlineExceeded("the model server did not answer in time; try again or ask for a smaller picture")
    if code == grpc.StatusCode.NOT_FOUND or "unknown model" in words or "is not ready" in words:
        return NotFound(f"the model server has no graph {model}; export and load it first")
    # A graph's Python process that died stays dead until the canary has the model server started anew.
    if code == grpc.StatusCode.UNAVAILABLE or "is not healthy" in words:
        return _away()
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Overloaded("the model server is out of memory or its message limit; ask for a smaller picture")
    return InternalError("the model server failed on this request; its log has the details")
