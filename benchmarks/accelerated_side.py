"""Run graphs with ONNX Runtime and with OpenVINO in the model server's environment; see benchmarks/accelerated.py.

A file of its own, because that environment holds neither the project nor the services' packages. Arguments: the
backend's folder and a folder with `graphs.json` (name, path and configuration of each graph) and `<name>.<n>.npz` (its
inputs, one file a size), the rounds, and OpenVINO's precisions. Prints one JSON row for each graph, output and
precision.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def _accelerated(config: dict[str, Any], precision: str) -> dict[str, Any]:
    accelerator = {"name": "openvino", "parameters": {"precision": precision}}
    return config | {"optimization": {"execution_accelerators": {"cpu_execution_accelerator": [accelerator]}}}


def _seconds(session: Any, names: list[str], feeds: list[dict[str, Any]]) -> float:
    began = time.perf_counter()
    for feed in feeds:
        session.run(names, feed)
    return time.perf_counter() - began


def main(backend: Path, folder: Path, rounds: int, precisions: list[str]) -> None:
    """Compare every graph; with `rounds`, also time both runtimes in turns."""
    sys.path.insert(0, str(backend))
    from graph_options import options_of  # type: ignore[import-not-found]
    from sessions import open_session  # type: ignore[import-not-found]
    from signature import require_match  # type: ignore[import-not-found]

    rows = []
    for graph in json.loads((folder / "graphs.json").read_text()):
        path, config, names = Path(graph["path"]), graph["config"], [one["name"] for one in graph["config"]["output"]]
        feeds = [dict(np.load(file)) for file in sorted(folder.glob(f"{graph['name']}.*.npz"))]
        plain = open_session(path, options_of(config))
        # Results are valid until the next run only.
        wanted = [[array.copy() for array in plain.run(names, feed)] for feed in feeds]
        for precision in precisions:
            asked = _accelerated(config, precision)
            session = open_session(path, options_of(asked))
            require_match(asked, session.inputs, session.outputs)
            found = [[array.copy() for array in session.run(names, feed)] for feed in feeds]
            turns = [(_seconds(plain, names, feeds), _seconds(session, names, feeds)) for _ in range(rounds)]
            for at, name in enumerate(names):
                pairs = [
                    (one[at].astype(np.float64), two[at].astype(np.float64))
                    for one, two in zip(wanted, found, strict=True)
                ]
                differences = [np.abs(one - two) for one, two in pairs]
                rows.append({
                    "graph": graph["name"],
                    "output": name,
                    "whole": wanted[0][at].dtype == np.uint8,
                    "precision": precision,
                    "magnitude": max(float(np.abs(one).max()) for one, _ in pairs),
                    "difference": max(float(one.max()) for one in differences),
                    "differing": sum(int((one > 0).sum()) for one in differences) / sum(d.size for d in differences),
                    "finite": all(bool(np.isfinite(two).all()) for _, two in pairs),
                    "times_as_fast": statistics.median(one / two for one, two in turns) if turns else None,
                })  # fmt: skip
    print(json.dumps(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
