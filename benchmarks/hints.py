"""Compare hints with controlnet_aux in one run, and measure the service with concurrent callers.

    python -m benchmarks.hints                            # print the tables
    python -m benchmarks.hints --write docs/hints_benchmark.md
    python -m benchmarks.hints --quick                    # small pictures, few rounds

The two sides alternate in one process, one thread each, and their maps are compared. Time is CPU time, because wall
time on a shared machine depends on other load. Throughput is that of the real preprocess_svc, with the real Triton if a
model finds the hint.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import psutil
import torch

from benchmarks import callers
from benchmarks.annotating import Ours, exported
from benchmarks.detectors import DETECTORS
from benchmarks.mesh import Row, running, table
from demo.render import render
from export.annotators.library import module
from local.demo import SKETCH
from mesh.pictures import Pixels
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.control import Algorithm

KEPT = Path("build/benchmark-annotators")
CALLERS = (1, 4, 16)
SERVED: dict[str, Mapping[str, float]] = {"canny": {}, "scribble": {"xdog_threshold": 32}, "depth": {}}
"""Kinds requested from the service, with their parameters."""

Side = Callable[[Pixels], Pixels]


@dataclass(frozen=True, slots=True)
class Pair:
    """The same hint by both sides; `most` is the largest useful number of rounds."""

    name: str
    theirs: Side
    ours: Side
    most: int = 7


def photo(size: int) -> Pixels:
    """A rendered scene with the grain and the soft shading of a photo, UINT8 [size, size, 3]."""
    random = np.random.default_rng(5)
    grain = cv2.GaussianBlur(random.normal(0, 20, (size, size, 3)), (0, 0), 1.2)
    shade = cv2.resize(random.normal(0, 20, (8, 8, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(render(SKETCH, size).image + grain + shade, 0, 255).astype(np.uint8)


def algorithms() -> Iterator[Pair]:
    """Hints that need no model."""
    canny = module("canny").CannyDetector()
    shuffle = module("shuffle").ContentShuffleDetector()
    lineart = module("lineart_standard").LineartStandardDetector()

    def shuffled(picture: Pixels) -> Pixels:
        np.random.seed(0)
        size = len(picture)
        return shuffle(picture, detect_resolution=size, image_resolution=size, output_type="np")

    yield Pair("canny", lambda p: canny(p, detect_resolution=len(p), image_resolution=len(p)), _ours("canny"), 40)
    yield Pair("shuffle", shuffled, _ours("shuffle"), 40)
    yield Pair(
        "lineart, standard", lambda p: lineart(p, detect_resolution=len(p), output_type="np"), _ours("lineart"), 40
    )


def learned(folder: Path) -> Iterator[Pair]:
    """Hints that a model finds, both sides with the same weights; exported into `folder` if they are not there yet."""
    for detector in DETECTORS:
        repository = exported(detector, folder)
        theirs = detector.open(folder / f"{detector.word}-weights")

        def ask(picture: Pixels, theirs: Callable[..., Pixels], options: Mapping[str, object]) -> Pixels:
            size = len(picture)
            return theirs(picture, detect_resolution=size, image_resolution=size, output_type="np", **options)

        name = ", ".join((detector.kind, *detector.parameters))
        yield Pair(name, partial(ask, theirs=theirs, options=detector.options), Ours(detector, repository).hint)


def _ours(kind: str) -> Side:
    (algorithm,) = (one for one in CONTROLS[kind].extractors if isinstance(one, Algorithm) and not one.stand_in)
    return lambda picture: algorithm.extract(picture, algorithm.settle(kind, {}))


def compared(pair: Pair, size: int, seconds: float, clock: Callable[[], float] = time.process_time) -> str:
    """Cells of a row: CPU-ms of both sides, the ratio with its spread, and the difference of the maps."""
    picture = photo(size)
    # The first round fills caches and allocates memory, and is not counted.
    theirs, ours, first = _round(pair, picture, clock)
    rounds = min(pair.most, max(1, int(seconds / sum(first))))
    spent = [_round(pair, picture, clock)[2] for _ in range(rounds)]
    ratios = sorted(a / b for a, b in spent)
    medians = [1000 * statistics.median(column) for column in zip(*spent, strict=True)]
    apart = np.abs(theirs.astype(int) - ours)
    differing = np.count_nonzero(apart.any(axis=2))
    same = "equal" if not apart.any() else f"up to {apart.max()}, in {differing:,} of {size * size:,} px"
    spread = f"{ratios[0]:.2f}-{ratios[-1]:.2f}" if len(ratios) > 1 else "one round"
    times = " | ".join(f"{ms:.1f}" for ms in medians)
    return f"{size} | {times} | **{statistics.median(ratios):.2f}** ({spread}) | {same}"


def _round(pair: Pair, picture: Pixels, clock: Callable[[], float]) -> tuple[Pixels, Pixels, tuple[float, float]]:
    """Both maps, and the CPU-seconds of both."""
    began = clock()
    theirs = pair.theirs(picture)
    between = clock()
    ours = pair.ours(picture)
    return theirs, ours, (between - began, clock() - between)


def speed(sizes: tuple[int, ...], seconds: float) -> tuple[str, str]:
    """The tables of algorithms and of models."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    head = "kind | px | controlnet_aux, CPU-ms | here, CPU-ms | times as fast (spread) | difference of the maps"
    rows = [_told(pair.name, compared(pair, size, seconds / 8)) for pair in algorithms() for size in sizes]
    models = [_told(pair.name, compared(pair, size, seconds)) for pair in learned(KEPT) for size in sizes]
    return table(head, rows), table(head, models)


def _told(*row: str) -> Row:
    """Print a row as soon as it is measured, and return it."""
    print(*row, sep=" | ", file=sys.stderr, flush=True)
    return row[0], row[1]


def throughput(seconds: float, size: int = 512) -> tuple[str, str]:
    """Throughput of preprocess_svc for one and more callers, and which of SERVED it has no extractor for."""
    rows, picture = [], photo(size)
    with tempfile.TemporaryDirectory() as scratch, running(Path("model_repository"), Path(scratch)) as mesh:
        offered = callers.offered(mesh)
        for kind, parameters in SERVED.items():
            for count in CALLERS if offered[kind].extractable else ():
                measured = callers.load(mesh, kind, parameters, picture, count, seconds)
                cells = f"{count} | {measured.hints:.1f} | {measured.p50:.1f} | {measured.p95:.1f} | {measured.cpu:.1f}"
                rows.append(_told(kind, cells))
    absent = [kind for kind in SERVED if not offered[kind].extractable]
    words = f" No annotator was loaded for {', '.join(absent)}." if absent else ""
    return table("kind | callers | hints / s | p50, ms | p95, ms | CPU-ms a hint", rows), words


PAGE = """# Hints beside controlnet_aux

Written by `python -m benchmarks.hints --write docs/hints_benchmark.md`. {where}; load average at the start {load}.

## One hint

Both sides in one process, in turns, one thread each, CPU time; medians and the least and the greatest ratio of a
round. The picture, a rendered scene with grain and shading, has the size that the hint is found at, so neither side
resizes it. A difference is the greatest one of a channel, 0 to 255, and how many pixels have one.

### Algorithms

{algorithms}

### Models

The library's detector in torch against the exported graph, run by the code of Triton's backend in this process, and
our drawing of its maps; random weights, the same on both sides. They find no people, so openpose is the network and the
search for parts, without limbs to join. What Triton's transport adds is in the next section.

{models}

## Callers at once

The real preprocess_svc, and for depth the real Triton, on a machine that they share with the callers. Each caller
asks for its next hint of a {size} x {size} px picture as soon as it has one: PNG in, hint as PNG out, {seconds:g} s a
row. The CPU column is everything that the mesh used, divided by the hints.{absent}

{throughput}
"""


def report(sizes: tuple[int, ...], budget: float, seconds: float) -> str:
    """Run everything and return the page."""
    load = psutil.getloadavg()[0]
    algorithmic, models = speed(sizes, budget)
    served, absent = throughput(seconds)
    packages = ("controlnet-aux", "opencv-python-headless", "torch", "onnxruntime")
    return PAGE.format(
        where=f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in packages),
        load=f"{load:.1f}",
        algorithms=algorithmic,
        models=models,
        size=512,
        seconds=seconds,
        absent=absent,
        throughput=served,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only 512 px and few rounds")
    parser.add_argument("--write", type=Path, help="also write the page here")
    arguments = parser.parse_args()
    page = report((512,), 4, 1) if arguments.quick else report((512, 1024), 12, 3)
    print(page)
    if arguments.write:
        arguments.write.parent.mkdir(exist_ok=True)
        arguments.write.write_text(page)


if __name__ == "__main__":
    main()
