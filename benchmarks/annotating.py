"""Our side of the hints benchmark: the exported graph, run in this process as in Triton's backend, and our drawing."""

import asyncio
import importlib
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format, text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2 as triton

from benchmarks.detectors import Detector
from families.annotators import AnnotatorCard, list_annotators
from local.processes import ROOT
from mesh.pictures import Pixels
from preprocess_svc.annotators import Annotators
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.control import Learned

Array = NDArray[np.generic]
_BACKEND = ROOT / "model_server" / "backends" / "onnxruntime"


class Graphs:
    """Runs graphs of a repository in this process, in place of the model server's client."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._sessions: dict[str, Any] = {}

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Iterable[str]) -> dict[str, Array]:
        """As mesh.triton.Triton.infer."""
        names = list(outputs)
        session = self._sessions.get(model) or self._opened(model)
        return dict(zip(names, session.run(names, inputs), strict=True))

    def _opened(self, model: str) -> Any:
        # Triton loads the backend's files from their own folder, where they find each other.
        if str(_BACKEND) not in sys.path:
            sys.path.append(str(_BACKEND))
        config = text_format.Parse((self._repository / model / "config.pbtxt").read_text(), triton.ModelConfig())
        settings = json_format.MessageToDict(config, preserving_proto_field_name=True)
        options = importlib.import_module("graph_options").options_of(settings)
        path = self._repository / model / "1" / config.default_model_filename
        self._sessions[model] = importlib.import_module("sessions").open_session(path, options)
        return self._sessions[model]


def exported(detector: Detector, folder: Path) -> Path:
    """Export the annotator of the detector's weights; the repository is created once and kept in `folder`."""
    weights, repository = folder / f"{detector.word}-weights", folder / detector.word
    detector.write(weights)
    command = [sys.executable, "-m", "export", "annotator", detector.word, str(weights), "--repository", repository]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return repository


class Ours:
    """The extractor of preprocess_svc over a repository of `exported`."""

    def __init__(self, detector: Detector, repository: Path) -> None:
        self._extractor = next(one for one in CONTROLS[detector.kind].extractors if one.name == detector.extractor)
        assert isinstance(self._extractor, Learned)
        cards: list[AnnotatorCard] = list_annotators(repository)
        self._annotators = Annotators(cards, Graphs(repository))  # type: ignore[arg-type]
        self._kind, self._parameters = detector.kind, detector.parameters
        self._loop = asyncio.new_event_loop()

    def hint(self, picture: Pixels) -> Pixels:
        """Make the hint UINT8 [n, n, 3] of a picture UINT8 [n, n, 3] at its own size."""
        given = {**self._parameters, "detect_resolution": min(picture.shape[:2])}
        settled = self._extractor.settle(self._kind, given)
        return self._loop.run_until_complete(self._extractor.annotate(picture, settled, self._annotators))
