"""What the processes of a test run share: made by the first that needs it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def first(factory: pytest.TempPathFactory, name: str) -> Iterator[Path | None]:
    """A folder of the run's, to make something in; None if another process has made it by now.

    Waits while another process makes it. What was left by one that failed is to be made again.

    Args:
        factory: of this process.
        name: of what is made.
    """
    folder = of_run(factory, name)
    done = folder.with_suffix(".done")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists():
            yield None
            return
        folder.mkdir(exist_ok=True)
        yield folder
        done.touch()


def of_run(factory: pytest.TempPathFactory, name: str) -> Path:
    """Where `name` lies that all processes of this run share."""
    own = factory.getbasetemp()
    # xdist gives each of its processes a folder within the run's.
    return (own.parent if own.name.startswith("popen-") else own) / f"shared-{name}"
