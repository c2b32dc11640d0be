"""Client of Triton Inference Server: KServe v2 over gRPC, no retries, deadlines passed on, errors as MeshError.

Built on the stubs that `tritonclient` ships, because its InferenceServerClient rebuilds and copies every input on each
call, and a denoising step has a budget of a few milliseconds.
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
"""Time for reading a graph of gigabytes from disk and perhaps compiling it."""
_ANSWER_TIMEOUT_S = 1.25
"""Time for an answer that needs no computing; a server that was stopped gives none."""
_DTYPES = {name: np.dtype(dtype) for dtype, name in _NAMES.items()}


class Triton:
    """One channel to one Triton.

    Args:
        url: host:port of its gRPC service.
        shared_memory: True where this process and Triton share /dev/shm (same machine or pod): `hold` then passes
            tensors by reference.
        timeout_s: deadline of one inference.
        repository: metadata that calls carry which load models or register memory, where Triton asks for a key.
    """

    def __init__(
        self,
        url: str,
        *,
        shared_memory: bool = False,
        timeout_s: float = 60.0,
        repository: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._channel = grpc.aio.insecure_channel(url, options=MESSAGE_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._arena = Arena(self._stub, repository) if shared_memory else None
        self._repository = repository
        self._timeout_s = timeout_s
        self._running = 0

    async def answers(self) -> None:
        """Check that the server answers, which it does however much it has to compute.

        Raises:
            Unavailable: no answer within about a second.
        """
        try:
            await self._stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=_ANSWER_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            log.debug("model server silent", code=error.code().name)
            raise _away() from error

    def busy(self) -> bool:
        """Whether more than one inference of this client is running: those of requests beside a readiness check's."""
        return self._running > 1

    async def close(self) -> None:
        """Release the shared memory and close the channel."""
        if self._arena:
            await self._arena.close()
        await self._channel.close()

    async def hold(self, tensors: Mapping[str, Array]) -> Held:
        """Hold tensors for many calls: placed once in shared memory if there is any, else sent with each call.

        Use the result as an async context manager; leaving it frees the memory.
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
            timeout_s: deadline of this call; None for the client's.

        Returns:
            The outputs by name, read-only.

        Raises:
            Overloaded: the graph's queue is full.
            DeadlineExceeded: no answer in time.
            Unavailable: the model server does not answer or is shutting down, or the graph's process died.
            NotFound: the graph is not loaded.
            InternalError: anything else; Triton's own message goes to the log only.
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
        self._running += 1
        try:
            try:
                response = await self._stub.ModelInfer(request, timeout=deadline)
            except grpc.aio.AioRpcError as error:
                # A restarted model server does not know the regions any more; nothing else is retried.
                if not (self._arena and held and held.placed and "shared memory region" in (error.details() or "")):
                    raise
                await self._arena.register_again()
                response = await self._stub.ModelInfer(request, timeout=deadline)
        except grpc.aio.AioRpcError as error:
            translated = _translated(error, model)
            if isinstance(translated, NotFound | InternalError) and not await self._serves():
                # While it shuts down it still answers, but its graphs are unloaded.
                translated = _away()
            raise translated from error
        finally:
            self._running -= 1
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
        """Whether Triton reports `model` as loaded; it does so even if its Python process is dead: infer to be sure."""
        try:
            answer = await self._stub.ModelReady(service_pb2.ModelReadyRequest(name=model), timeout=5)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, model) from error
        return bool(answer.ready)

    async def load(self, model: str, config: str, files: Mapping[str, bytes]) -> None:
        """Load `model` from its configuration in JSON and files by path ("file:1/..."); replaces one of the same name.

        Raises:
            MeshError: as `infer`.
        """
        request = service_pb2.RepositoryModelLoadRequest(model_name=model)
        request.parameters["config"].string_param = config
        for path, content in files.items():
            request.parameters[path].bytes_param = content
        began = time.monotonic()
        try:
            await self._stub.RepositoryModelLoad(request, timeout=self._timeout_s, metadata=self._repository)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, model) from error
        log.info("graph registered", graph=model, seconds=round(time.monotonic() - began, 3))

    async def load_stored(self, model: str) -> None:
        """Load `model` from the model server's repository; one of the same name is replaced once the new one is loaded.

        Raises:
            MeshError: as `infer`.
        """
        await self._change(self._stub.RepositoryModelLoad, service_pb2.RepositoryModelLoadRequest(model_name=model))

    async def unload(self, model: str) -> None:
        """Unload `model` once nothing runs on it; does nothing if it is not loaded.

        Raises:
            MeshError: as `infer`.
        """
        await self._change(self._stub.RepositoryModelUnload, service_pb2.RepositoryModelUnloadRequest(model_name=model))

    async def loaded(self) -> frozenset[str]:
        """Names of all loaded models.

        Raises:
            MeshError: as `infer`.
        """
        try:
            index = await self._stub.RepositoryIndex(
                service_pb2.RepositoryIndexRequest(ready=True), timeout=5, metadata=self._repository
            )
        except grpc.aio.AioRpcError as error:
            raise _translated(error, "") from error
        return frozenset(model.name for model in index.models)

    async def _change(self, method: Any, request: Any) -> None:
        try:
            await method(request, timeout=_CHANGE_TIMEOUT_S, metadata=self._repository)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, request.model_name) from error


def _away() -> Unavailable:
    return Unavailable("the model server does not answer; try again in a few seconds", retry_after_s=2)


def _translated(error: grpc.aio.AioRpcError, model: str) -> MeshError:
    code, details = error.code(), error.details() or ""
    # While the model server is down every probe would log this; the change of readiness logs it once.
    level = log.debug if code == grpc.StatusCode.UNAVAILABLE else log.warning
    level("model server refused", graph=model, code=code.name, details=details)
    if "protocol is restricted" in details:
        return InternalError("the model server asks for another repository key than this service has")
    # Triton returns UNAVAILABLE for a full queue and for a dead connection; only its message tells them apart.
    if "maximum queue size" in details:
        return Overloaded("the model's queue is full; try again shortly", retry_after_s=1)
    if code == grpc.StatusCode.DEADLINE_EXCEEDED or "timeout expired" in details:
        return DeadlineExceeded("the model server did not answer in time; try again or ask for a smaller picture")
    if "shared memory region" in details:
        return InternalError("the model server can't read this service's memory; the log says why")
    if code == grpc.StatusCode.NOT_FOUND or "unknown model" in details or "is not ready" in details:
        return NotFound(f"the model server has no graph {model}; export and load it first")
    # A graph's Python process that died stays dead until the canary restarts the model server.
    if code == grpc.StatusCode.UNAVAILABLE or "is not healthy" in details:
        return _away()
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Overloaded(
            "the model server ran out of memory or the message exceeds its limit; ask for a smaller picture"
        )
    return InternalError("the model server failed on this request; the log has the details")
