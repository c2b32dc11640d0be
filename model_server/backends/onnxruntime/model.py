"""The backend `onnxruntime` for a Triton that lacks NVIDIA's: same name, same `config.pbtxt`, run by Python.

Triton starts one process with this file per model instance, for every configuration with `backend: "onnxruntime"`.
It runs outside the project, with NumPy, ONNX Runtime, OpenVINO and the files beside it.
"""

import ctypes
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from batching import BatchError, alike, dealt, merged, numbers_of, rows_of
from graph_options import OptionError, options_of
from sessions import GraphError, open_session
from signature import SignatureError, require_match

# Written by the launcher: values of `parameters` that a configuration does not set.
DEFAULTS = Path(__file__).with_name("defaults.json")

# Checking whether a request was cancelled is a round trip to the server, so graphs that finish in less than this many
# seconds don't check: the answer would arrive as late as the result.
CANCEL_CHECK_S = 0.02

_set_destructor = ctypes.pythonapi.PyCapsule_SetDestructor
_set_destructor.argtypes = (ctypes.py_object, ctypes.c_void_p)
_set_destructor.restype = ctypes.c_int


class TritonPythonModel:
    """One instance of one graph."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph and compare it with its configuration; an error fails the load with its message."""
        config = json.loads(args["model_config"])
        filename = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / filename
        defaults = json.loads(DEFAULTS.read_text()) if DEFAULTS.is_file() else {}
        try:
            options = options_of(config, defaults)
            self._session = open_session(path, options)
            require_match(config, self._session.inputs, self._session.outputs)
        except (GraphError, OptionError, SignatureError) as error:
            raise pb_utils.TritonModelException(f"model {args['model_name']!r}: {error}") from None
        # Reading a graph leaves as much freed memory as its file's size, and there is one process per graph.
        _return_freed()
        self._shrink_over = options.shrink_over
        self._name = args["model_name"]
        self._outputs = [entry["name"] for entry in config["output"]]
        self._batched = config.get("max_batch_size", 0) > 0
        self._last_s = 0.0

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer every request of one scheduler call; requests with equal shapes run as one batch."""
        responses: list[Any] = [None] * len(requests)
        waiting: list[int] = []
        check = self._last_s > CANCEL_CHECK_S
        for position, request in enumerate(requests):
            if check and request.is_cancelled():
                responses[position] = _failure("the client cancelled", pb_utils.TritonError.CANCELLED)
            else:
                waiting.append(position)
        feeds = [{t.name(): np.from_dlpack(t) for t in requests[position].inputs()} for position in waiting]
        groups = alike(feeds) if self._batched else [[index] for index in range(len(feeds))]
        started = time.perf_counter()
        for group in groups:
            for index, response in zip(group, self._run([feeds[index] for index in group]), strict=True):
                responses[waiting[index]] = response
        if waiting:
            self._last_s = time.perf_counter() - started
        return responses

    def _run(self, feeds: list[dict[str, Any]]) -> list[Any]:
        try:
            large = bool(self._shrink_over) and any(numbers_of(one) > self._shrink_over for one in feeds)
            results = self._session.run(self._outputs, merged(feeds), shrink=large)
            if large:
                _return_freed()
            outputs = dict(zip(self._outputs, results, strict=True))
            shares = dealt(outputs, [rows_of(one) for one in feeds]) if self._batched else [outputs]
            return [pb_utils.InferenceResponse([_tensor(*pair) for pair in share.items()]) for share in shares]
        except (GraphError, BatchError) as error:
            return [_failure(f"model {self._name!r}: {error}", pb_utils.TritonError.INTERNAL) for _ in feeds]


def _return_freed() -> None:
    ctypes.CDLL(None).malloc_trim(0)


def _tensor(name: str, array: Any) -> Any:
    """An output tensor without NumPy's C interface, whose layout differs between NumPy 1 and 2; DLPack's does not.

    Triton renames the capsule it consumed to a name that NumPy's destructor does not know, and NumPy would report
    that on standard error for every tensor. Triton calls the deleter itself, so the capsule needs no destructor.
    """
    capsule = np.ascontiguousarray(array).__dlpack__()
    _set_destructor(capsule, None)
    return pb_utils.Tensor.from_dlpack(name, capsule)


def _failure(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse([], pb_utils.TritonError(message, code))
