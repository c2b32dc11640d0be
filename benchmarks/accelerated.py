"""Compare every graph of the demo under OpenVINO with ONNX Runtime's own kernels, in the model server's environment.

    python -m benchmarks.accelerated                              # print the table
    python -m benchmarks.accelerated --write docs/openvino.md

The inputs are those with which an export verifies its graphs, at a square and at an odd size. A difference is the
largest one of an output as a share of the output's largest magnitude; of outputs in whole numbers (UINT8), it is the
share of values that differ. Times are medians of runs that alternate in one process, one thread each.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from export.verify import LATENTS, Size, example
from families import annotators, graphs
from families.facts import ModelFacts
from families.manifest import read_manifest
from families.profiles import profile_of
from model_server.workspace import BACKEND

SIDE = Path(__file__).with_name("accelerated_side.py")
PRECISIONS = ("f32", "bf16")
SIZES = tuple(Size(2, 2, height, width) for height, width in LATENTS[:2])
MOST_F32 = 1e-4
"""Largest difference of a float output in f32, as a share of the output's largest magnitude."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One output of one graph in one of OpenVINO's precisions, beside ONNX Runtime's.

    Attributes:
        graph, output: their names.
        whole: whether the output holds whole numbers.
        precision: f32 or bf16.
        magnitude: the largest absolute value by ONNX Runtime.
        difference: the largest absolute difference.
        differing: share of values that differ at all.
        finite: whether every value is.
        times_as_fast: seconds by ONNX Runtime divided by seconds by OpenVINO; None if not measured.
    """

    graph: str
    output: str
    whole: bool
    precision: str
    magnitude: float
    difference: float
    differing: float
    finite: bool
    times_as_fast: float | None

    @property
    def share(self) -> float:
        """The largest difference as a share of the output's largest magnitude; 0 if there is none."""
        return self.difference and self.difference / max(self.magnitude, 1e-30)


def _parts(repository: Path, model: str, annotator: str) -> Iterator[tuple[ModelFacts, graphs.Part, str]]:
    """Each graph with its configuration as JSON."""
    card = read_manifest(repository, model)
    for name in graphs.graph_names(card):
        part = graphs.part(card, name)
        yield card, part, graphs.to_json(graphs.part_config(part, profile_of(card)))
    for part in annotators.parts(annotators.read_card(repository, annotator).heads):
        yield card, part, graphs.to_json(graphs.part_config(part, annotators.PROFILE))


def compared(
    repository: Path,
    environment: Path,
    only: Collection[str] = (),
    precisions: Sequence[str] = PRECISIONS,
    rounds: int = 0,
) -> list[Compared]:
    """Every output of every graph of the demo, and of its annotator, in each precision.

    Args:
        repository: folder of the exported graphs.
        environment: the model server's virtual environment.
        only: names of the graphs to compare; empty: all.
        precisions: OpenVINO's.
        rounds: turns in which both runtimes are timed; 0: not at all.
    """
    with tempfile.TemporaryDirectory() as temporary:
        listed = []
        for facts, part, config in _parts(repository, "demo", "demo"):
            if only and part.graph not in only:
                continue
            path = repository / part.graph / "1" / "model.onnx"
            listed.append({"name": part.graph, "path": str(path.resolve()), "config": json.loads(config)})
            for number, size in enumerate(SIZES):
                inputs = {name: tensor.numpy() for name, tensor in example(part.inputs, facts, size).items()}
                np.savez(Path(temporary) / f"{part.graph}.{number}.npz", **inputs)  # type: ignore[arg-type]
        (Path(temporary) / "graphs.json").write_text(json.dumps(listed))
        command = [str(environment / "bin" / "python"), "-I", str(SIDE), str(BACKEND), temporary, str(rounds)]
        command += precisions
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return [Compared(**row) for row in json.loads(done.stdout)]


def _cell(one: Compared) -> str:
    if not one.whole:
        return f"{one.share:.1e}"
    return f"{one.differing:.1e} of the values, by {one.difference:g} at most" if one.differing else "equal"


def table(rows: list[Compared]) -> str:
    """A row for each graph and output: the difference in each precision, and how fast the graph is."""
    found: dict[tuple[str, str], dict[str, Compared]] = {}
    for one in rows:
        # The outputs that are residuals differ alike; the worst of a graph stands for them.
        name = "residuals" if one.output.startswith("residual_") else one.output
        best = found.setdefault((one.graph, name), {})
        if one.precision not in best or one.share > best[one.precision].share:
            best[one.precision] = one
    lines = ["| graph | output | f32 | bf16 | times as fast, f32 | bf16 |", "| --- | --- | --- | --- | --- | --- |"]
    for (graph, name), by in found.items():
        times = " | ".join("-" if (t := by[p].times_as_fast) is None else f"{t:.2f}" for p in PRECISIONS)
        lines.append(f"| `{graph}` | `{name}` | {_cell(by['f32'])} | {_cell(by['bf16'])} | {times} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--environment", type=Path, default=Path(".venv-triton"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", type=Path, help="also write the page here")
    arguments = parser.parse_args()
    found = compared(arguments.repository, arguments.environment, rounds=arguments.rounds)
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    native = "with" if "bf16" in flags else "without"
    page = (
        "# The demo's graphs under OpenVINO\n\n"
        f"Written by `python -m benchmarks.accelerated --write docs/openvino.md` on {date.today()}: {os.cpu_count()} "
        f"cores {native} instructions for bf16, Python {platform.python_version()}. A graph is run by OpenVINO if its "
        '`config.pbtxt` has `cpu_execution_accelerator [{ name: "openvino" }]`; the parameter `precision` is `f32` '
        "unless it says `bf16` or `f16`.\n\n"
        "Differences from ONNX Runtime's own kernels, as a share of the output's largest magnitude; of "
        "outputs in whole numbers, the share of values that differ. In f32 a difference is at most "
        f"{MOST_F32:g}. Times are medians of runs in turns, one thread "
        "each.\n\n"
        f"{table(found)}\n"
    )
    print(page)
    if arguments.write:
        arguments.write.write_text(page)
    if wrong := [one.graph for one in found if one.precision == "f32" and not one.whole and one.share > MOST_F32]:
        raise SystemExit(f"differ by more than {MOST_F32:g} in f32: {', '.join(dict.fromkeys(wrong))}")


if __name__ == "__main__":
    main()
