"""Move a finished export into the model repository atomically: all of it or nothing.

An export is staged in a hidden folder of the repository, so that every move is a rename on one file system. The swap
keeps what it replaces until the last rename; an error undoes it, and an interrupted swap (power loss, kill -9) is
undone at the start of the next export.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from export.errors import Busy

Rename = Callable[[Path, Path], None]


class Placement:
    """The staging folder and the swap of one model.

    `rename` is os.rename; tests pass one that fails.
    """

    def __init__(self, repository: Path, name: str, rename: Rename = os.rename) -> None:
        self.repository = repository
        self.name = name
        self.stage = repository / f".{name}.staged"
        self._replaced = repository / f".{name}.replaced"
        self._discarded = repository / f".{name}.discarded"
        self._rename = rename

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the model's lock, and remove the staging folder at the end. Raises Busy if another export holds it."""
        self.repository.mkdir(parents=True, exist_ok=True)
        lock = self.repository / f".{self.name}.lock"
        with lock.open("w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(f"another export of {self.name!r} is running; wait for it or stop it") from None
            self._recover()
            try:
                yield
            finally:
                shutil.rmtree(self.stage, ignore_errors=True)
                lock.unlink(missing_ok=True)

    def new_stage(self) -> Path:
        """Create an empty staging folder."""
        shutil.rmtree(self.stage, ignore_errors=True)
        self.stage.mkdir()
        return self.stage

    def swap(self, retired: frozenset[str]) -> None:
        """Move every staged folder into the repository and the `retired` ones out of it; the model's own folder, which
        has its card, is moved last.

        Raises whatever `rename` raises, with the repository as it was before.
        """
        staged = {path.name for path in self.stage.iterdir()}
        order = sorted(staged | retired, key=lambda folder: (folder == self.name, folder))
        plan = {folder: (self.repository / folder).exists() for folder in order}
        self._replaced.mkdir()
        (self._replaced / "plan.json").write_text(json.dumps(plan))
        try:
            for folder, existed in plan.items():
                if existed:
                    self._rename(self.repository / folder, self._replaced / folder)
                if folder in staged:
                    self._rename(self.stage / folder, self.repository / folder)
            self._rename(self._replaced, self._discarded)
        except BaseException:
            self._undo()
            raise
        shutil.rmtree(self._discarded, ignore_errors=True)

    def _recover(self) -> None:
        if self._replaced.exists():
            self._undo()
        shutil.rmtree(self._discarded, ignore_errors=True)
        shutil.rmtree(self.stage, ignore_errors=True)

    def _undo(self) -> None:
        plan_file = self._replaced / "plan.json"
        plan: dict[str, bool] = json.loads(plan_file.read_text()) if plan_file.exists() else {}
        for folder, existed in plan.items():
            target, kept = self.repository / folder, self._replaced / folder
            if existed and not kept.exists():
                continue  # the swap did not reach this one
            shutil.rmtree(target, ignore_errors=True)
            if existed:
                os.rename(kept, target)
        shutil.rmtree(self._replaced)
