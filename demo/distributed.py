"""Run a crew of single-threaded processes that train one model: start, gradient averaging, progress, failure."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

#: Longest wait for another process. Generous, because processes render their pictures at different speeds first.
PATIENCE = timedelta(hours=1)


class CrewError(RuntimeError):
    """A process of the crew failed; the message has its traceback or its exit status."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is, according to its first process. loss: mean over the crew, or None if there is none."""

    doing: str
    step: int
    steps: int
    loss: float | None = None


Watch = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Crew:
    """One process of the crew: its rank 0..size-1, and where it reports progress."""

    rank: int
    size: int
    watch: Watch

    def share(self, count: int) -> range:
        """This process's part of `count` examples: every size-th one."""
        return range(self.rank, count, self.size)

    def report(self, doing: str, step: int, steps: int, loss: float | None = None) -> None:
        if self.rank == 0:
            self.watch(Progress(doing, step, steps, loss))

    def average_(self, values: torch.Tensor) -> torch.Tensor:
        """Replace a tensor by its mean over the crew, in place. Every process must call it."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def align_(self, module: torch.nn.Module) -> None:
        """Copy the first process's weights to every process."""
        if self.size > 1:
            for parameter in module.parameters():
                dist.broadcast(parameter.data, 0)


def run_crew(worker: Callable[..., None], *arguments: Any, size: int, watch: Watch) -> None:
    """Run worker(crew, *arguments) in `size` fresh processes and pass the first one's progress to `watch`.

    worker and arguments must be picklable. Raises CrewError as soon as any process fails; the others are
    then stopped, because they would wait for it forever.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as meeting:
        processes: list[BaseProcess] = []
        pipes: dict[Connection, int] = {}
        for rank in range(size):
            receiver, sender = context.Pipe(duplex=False)
            place = (rank, size, Path(meeting) / "rendezvous", sender)
            process = context.Process(target=_work, args=(place, worker, arguments), daemon=True)
            process.start()
            sender.close()
            processes.append(process)
            pipes[receiver] = rank
        try:
            _follow(pipes, processes, watch)
        finally:
            for process in processes:
                if process.is_alive():
                    process.terminate()
                process.join()


def _follow(pipes: dict[Connection, int], processes: list[BaseProcess], watch: Watch) -> None:
    """Pass progress to `watch` until every process has finished; anything else ends the run."""
    while pipes:
        for pipe in wait(list(pipes)):
            assert isinstance(pipe, Connection)
            try:
                said = pipe.recv()
            except EOFError:
                rank = pipes.pop(pipe)
                processes[rank].join()
                if processes[rank].exitcode != 0:
                    raise CrewError(
                        f"Training process {rank} exited with status {processes[rank].exitcode}; a negative "
                        "status is a signal, and -9 usually means that memory ran out."
                    ) from None
                continue
            if not isinstance(said, Progress):
                raise CrewError(f"Training process {pipes[pipe]} failed:\n{said}")
            watch(said)


def _work(place: tuple[int, int, Path, Connection], worker: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    rank, size, meeting, pipe = place
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        if size > 1:
            dist.init_process_group(
                "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=PATIENCE
            )
        worker(Crew(rank, size, pipe.send), *arguments)
        if size > 1:
            dist.barrier()
            dist.destroy_process_group()
    except Exception:
        pipe.send(traceback.format_exc())
    finally:
        pipe.close()


def _end_with_parent() -> None:
    """Stop with the parent: otherwise this process would go on training, or wait for others, unnoticed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
