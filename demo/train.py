"""Trains the demo model from nothing, stage by stage. A finished stage is kept; an interrupted one starts again."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from demo import distributed, recipe
from demo.stages import STAGES, Stage, Workshop, work_stage

RECORD = "stage.json"
ASSEMBLED = "weights"
#: The work that a stage's cost is about; what comes before it (rendering) is short.
COUNTED = ("training", "encoding")
#: Without a terminal, a stage prints a line this often.
LINES_A_STAGE = 40


class OtherRecipe(ValueError):
    """A finished stage was trained by another recipe than this run asks for."""


class UnknownStage(ValueError):
    """A stage was asked for that does not exist."""


def train(
    shop: Workshop,
    only: Sequence[str] = (),
    processes: int = recipe.PROCESSES,
    crew: Callable[..., None] = distributed.run_crew,
) -> Path:
    """Run every unfinished stage and return the folder of the assembled weights.

    only: train these anew, and else only what they need and is not there. The weights are assembled when nothing
    is missing for that. crew: how a stage's processes are run.
    Raises UnknownStage for a name not in STAGES, OtherRecipe when a finished stage does not fit, CrewError when
    training itself fails.
    """
    unknown = sorted(set(only) - set(STAGES))
    if unknown:
        raise UnknownStage(f"There is no stage {', '.join(unknown)}; the stages are {', '.join(STAGES)}.")
    shop.folder.mkdir(parents=True, exist_ok=True)
    due = _due(shop, only)
    with _Board(Console(), {name: STAGES[name].cost(shop.scale) for name in due}) as board:
        for name in due:
            board.start(name)
            _run(shop, name, processes, board, crew)
    return shop.folder / ASSEMBLED


def _due(shop: Workshop, only: Sequence[str]) -> list[str]:
    """The stages to run, in order."""
    unfinished = {name for name in STAGES if not _finished(shop, name)}
    if not only:
        return [name for name in STAGES if name in unfinished]
    asked, waiting = set(only), list(only)
    while waiting:
        needed = unfinished.intersection(STAGES[waiting.pop()].needs) - asked
        asked |= needed
        waiting += needed
    if not unfinished.intersection(STAGES[ASSEMBLED].needs) - asked:
        asked.add(ASSEMBLED)
    return [name for name in STAGES if name in asked]


def _finished(shop: Workshop, name: str) -> bool:
    """Whether a stage's result is there. The assembled weights count as never finished: they take seconds."""
    if name == ASSEMBLED:
        return False
    record = shop.folder / name / RECORD
    if not record.is_file():
        return shop.has(name)
    if json.loads(record.read_text(encoding="utf-8"))["recipe"] != _recipe(shop, STAGES[name]):
        raise OtherRecipe(
            f"{record.parent} was trained with other settings. Remove that folder (and what was trained on it), "
            "or choose another --out."
        )
    return True


def _recipe(shop: Workshop, stage: Stage) -> dict[str, object]:
    """What decides a stage's result, as it reads back from JSON."""
    schedule = asdict(stage.schedule.scaled(shop.scale)) if stage.schedule else None
    return dict(json.loads(json.dumps({"schedule": schedule, "scale": shop.scale, "seed": recipe.SEED})))


def _run(shop: Workshop, name: str, processes: int, board: _Board, crew: Callable[..., None]) -> None:
    stage = STAGES[name]
    unfinished, outcome = shop.folder / f".{name}.unfinished", shop.folder / f".{name}.json"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    began = time.monotonic()
    crew(work_stage, name, shop, unfinished, outcome, size=1 if stage.alone else processes, watch=board.tell)
    notes = json.loads(outcome.read_text(encoding="utf-8"))
    outcome.unlink()
    record = {"recipe": _recipe(shop, stage), "seconds": round(time.monotonic() - began), **notes}
    if name != ASSEMBLED:  # the weights are for others to copy
        (unfinished / RECORD).write_text(json.dumps(record), encoding="utf-8")
    shutil.rmtree(shop.folder / name, ignore_errors=True)
    unfinished.rename(shop.folder / name)
    board.finish({key: value for key, value in record.items() if isinstance(value, int | float)})


class _Board:
    """What the user sees: one bar a stage and one for the whole run, or plain lines where there is no terminal."""

    def __init__(self, console: Console, costs: dict[str, float]) -> None:
        self._console = console
        self._costs = costs
        self._done = 0.0
        self._stage = ""
        self._line = (-1, "")
        self._bars = Progress(
            TextColumn("{task.description:18}"),
            BarColumn(),
            TextColumn("{task.fields[doing]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._whole = self._bars.add_task("whole run", total=sum(costs.values()) or 1, doing="")
        self._bar: TaskID | None = None

    def __enter__(self) -> _Board:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def start(self, stage: str) -> None:
        self._stage = stage
        self._line = (-1, "")
        self._bar = self._bars.add_task(stage, total=None, doing="starting")
        self._print("starting")

    def tell(self, progress: distributed.Progress) -> None:
        loss = "" if progress.loss is None else f" loss {progress.loss:.4f}"
        doing = f"{progress.doing} {progress.step}/{progress.steps}{loss}"
        assert self._bar is not None
        self._bars.update(self._bar, completed=progress.step, total=progress.steps, doing=doing)
        share = progress.step / progress.steps if progress.doing in COUNTED else 0.0
        self._bars.update(self._whole, completed=self._done + share * self._costs[self._stage])
        line = (progress.step * LINES_A_STAGE // progress.steps, progress.doing)
        if line != self._line:
            self._line = line
            self._print(doing)

    def finish(self, notes: dict[str, float]) -> None:
        self._done += self._costs[self._stage]
        summary = ", ".join(f"{key} {value:.4g}" for key, value in notes.items())
        assert self._bar is not None
        self._bars.update(self._bar, total=1, completed=1, doing=f"done: {summary}")
        self._bars.update(self._whole, completed=self._done)
        self._print(f"done: {summary}")

    def _print(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(f"{time.strftime('%H:%M:%S')} {self._stage}: {text}", highlight=False, soft_wrap=True)
