"""The whole mesh against diffusers' own pipeline on the same weights, steps and seeds.

    python -m benchmarks.mesh                          # print the tables
    python -m benchmarks.mesh --write docs/benchmark.md

Rounds of both sides alternate; the figure of a side is the median of its rounds. Compute is measured in CPU-seconds
with one thread per process, because wall time on a shared machine depends on other load. The mesh's figure is the sum
over all its processes, including Envoy and Triton, without the benchmark itself.
"""

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
from tritonclient.grpc import InferenceServerClient

from benchmarks import asking, costs
from benchmarks.diffusers_side import Diffusers
from benchmarks.null_model import NAME as NULL
from benchmarks.null_model import build
from demo.hints import hint as exact_hint
from demo.render import render
from families import graphs
from local.demo import SKETCH
from local.settings import LocalSettings
from local.supervision import LocalMesh
from mesh.pictures import Pixels

WEIGHTS = Path("demo/weights")
Row = tuple[str, str]


def throughput(mesh: LocalMesh, hint: Pixels, rounds: int, count: int) -> tuple[list[Row], str]:
    """Images per CPU-second of both sides, one at a time and eight at once, in alternating rounds."""
    theirs = Diffusers(WEIGHTS)
    hints = [("canny", hint)] * count
    asyncio.run(asking.pictures(mesh, hints[:2], 2))
    theirs.picture(hint, 0)
    spent: dict[str, list[float]] = {"diffusers": [], "mesh, one at a time": [], "mesh, eight at once": []}
    apart = 0
    for _ in range(rounds):
        began = time.process_time()
        reference = [theirs.picture(hint, seed) for seed in range(count)]
        spent["diffusers"].append((time.process_time() - began) / count)
        for name, concurrency in (("mesh, one at a time", 1), ("mesh, eight at once", 8)):
            before = sum(costs.cpu_seconds(mesh).values())
            made = asyncio.run(asking.pictures(mesh, hints, concurrency))
            spent[name].append((sum(costs.cpu_seconds(mesh).values()) - before) / count)
            apart = max(apart, *(int(np.abs(a.astype(int) - b).max()) for a, b in zip(made, reference, strict=True)))
    medians = {name: statistics.median(values) for name, values in spent.items()}
    rows = [
        (name, f"{1 / seconds:.2f} | {seconds:.3f} | {medians['diffusers'] / seconds:.2f}")
        for name, seconds in medians.items()
    ]
    return rows, f"Greatest difference between the two sides' pictures: {apart}/255."


def overhead(mesh: LocalMesh, hint: Pixels, rounds: int) -> list[Row]:
    """Milliseconds per step that are not the model, from the null model, with one loop and with eight at once."""
    asyncio.run(asking.loop_seconds(mesh, NULL, hint, 1))
    rows = []
    for concurrency in (1, 8):
        latency, amortised, cpu = [], [], []
        for _ in range(rounds):
            before, began = sum(costs.cpu_seconds(mesh).values()), time.perf_counter()
            steps = asyncio.run(asking.loop_seconds(mesh, NULL, hint, concurrency))
            amortised.append((time.perf_counter() - began) / (concurrency * asking.STEPS))
            cpu.append((sum(costs.cpu_seconds(mesh).values()) - before) / (concurrency * asking.STEPS))
            latency.append(statistics.median(steps))
        figures = (statistics.median(values) * 1000 for values in (latency, amortised, cpu))
        rows.append((str(concurrency), " | ".join(f"{figure:.2f}" for figure in figures)))
    return rows


def batches(mesh: LocalMesh, hint: Pixels) -> list[Row]:
    """Batch size -> executions of the UNet while eight loops ran, four with canny and four with depth."""
    client = InferenceServerClient(f"127.0.0.1:{mesh.settings.triton_port}")

    def counted() -> dict[int, int]:
        (stats,) = client.get_inference_statistics(graphs.unet("demo")).model_stats
        return {row.batch_size: row.compute_infer.count for row in stats.batch_stats}

    before = counted()
    hints: list[tuple[str, Pixels]] = [("canny", hint), ("depth", hint)] * 4
    asyncio.run(asking.pictures(mesh, hints, 8))
    after = counted()
    client.close()
    grown = {size: count - before.get(size, 0) for size, count in sorted(after.items())}
    return [(str(size), str(count)) for size, count in grown.items() if count]


def memory(mesh: LocalMesh, hint: Pixels) -> list[Row]:
    """MiB of every process before and while eight pictures are generated."""
    rest = costs.memory_mib(mesh)
    load = dict(rest)

    async def sampled() -> None:
        work = asyncio.create_task(asking.pictures(mesh, [("canny", hint)] * 16, 8))
        while not work.done():
            now = await asyncio.to_thread(costs.memory_mib, mesh)
            load.update({name: max(load[name], now[name]) for name in now})
            await asyncio.wait({work}, timeout=0.2)
        await work

    asyncio.run(sampled())
    rows = [(name, f"{rest[name]:.0f} | {load[name]:.0f}") for name in rest]
    return [*rows, ("all", f"{sum(rest.values()):.0f} | {sum(load.values()):.0f}")]


def table(head: str, rows: Sequence[Row]) -> str:
    """A Markdown table; a row's second part may contain several cells."""
    columns = head.count("|") + 1
    lines = [f"| {head} |", "|" + " --- |" * columns, *(f"| {name} | {cells} |" for name, cells in rows)]
    return "\n".join(lines)


def running(repository: Path, run_folder: Path) -> LocalMesh:
    """A mesh on free ports with one thread per process, as a context manager."""
    settings = LocalSettings(model_repository=str(repository), run_folder=str(run_folder)).with_free_ports()
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "CN_LOG_LEVEL": "warning"}
    return LocalMesh(settings, environ)


def report(rounds: int, count: int) -> str:
    """Run everything on new meshes and return the page."""
    hint = exact_hint("canny", render(SKETCH, asking.SIZE))
    with tempfile.TemporaryDirectory() as scratch:
        with running(Path("model_repository"), Path(scratch) / "demo") as mesh:
            load = psutil.getloadavg()[0]
            memory_rows = memory(mesh, hint)
            batch_rows = batches(mesh, hint)
            throughput_rows, difference = throughput(mesh, hint, rounds, count)
        # A separate mesh: the null model's processes would count in the figures above.
        build(Path("model_repository"), Path(scratch) / "models")
        with running(Path(scratch) / "models", Path(scratch) / "null") as mesh:
            overhead_rows = overhead(mesh, hint, rounds)
    return PAGE.format(
        what=f"{asking.STEPS} steps of {asking.SCHEDULER}, guidance {asking.GUIDANCE:g}, one canny control, "
        f"{asking.SIZE} x {asking.SIZE} px",
        where=f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers", "onnxruntime")),
        load=f"{load:.1f}",
        rounds=rounds,
        count=count,
        throughput=table("side | images / CPU-s | CPU-s / image | ratio to diffusers", throughput_rows),
        difference=difference,
        overhead=table(
            "loops at once | ms from step to step (p50) | ms a step, amortised | CPU-ms a step", overhead_rows
        ),
        batches=table("rows in the batch | executions", batch_rows),
        memory=table("part | MiB at rest | MiB under load (most seen)", memory_rows),
    )


PAGE = """# The mesh beside diffusers

Written by `make bench` (`python -m benchmarks.mesh --write docs/benchmark.md`). The machine is shared, so read the
ratios. {where}; load average at the start {load}.

## Images per CPU-second

The demo model, {what}. {rounds} alternating rounds of {count} pictures a side, medians, one thread a process. The
mesh's figure is everything: Envoy, gateway, services and Triton. {difference}

{throughput}

## What a step costs beside the model

A model of the demo's shapes whose graphs compute nothing, so that what remains is the loop, gRPC, shared memory,
Triton's ensemble and the residuals on their way from ControlNet to UNet. With eight loops at once a step waits for the
others' steps, too; the amortised column divides the whole time by all steps.

{overhead}

## Batches that the UNet saw

Eight pictures at once, four under canny and four under depth, from Triton's own statistics.

{batches}

## Memory

Proportional set size (shared pages divided among their users), everything that a part started included.

{memory}
"""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds (default 7)")
    parser.add_argument("--count", type=int, default=8, help="pictures per side and round (default 8)")
    parser.add_argument("--write", type=Path, help="also write the page here")
    arguments = parser.parse_args()
    page = report(arguments.rounds, arguments.count)
    print(page)
    if arguments.write:
        arguments.write.parent.mkdir(exist_ok=True)
        arguments.write.write_text(page)


if __name__ == "__main__":
    main()
