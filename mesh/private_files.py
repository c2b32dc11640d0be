"""Folders and files that only their owner may read, whatever the process's umask is."""

import os
import stat
from contextlib import suppress
from pathlib import Path

UMASK = 0o077
"""The umask of processes that write nothing for other users."""
_FOLDER, _FILE = 0o700, 0o600


def private_folder(path: Path) -> Path:
    """Create a folder, and those above it that are missing, for the owner alone; returns it.

    One that exists keeps its mode: it may hold other things than ours. See `tighten`.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        with suppress(FileExistsError):
            folder.mkdir(_FOLDER)
            folder.chmod(_FOLDER)
    path.mkdir(exist_ok=True)
    return path


def private_file(path: Path) -> Path:
    """Create an empty file for the owner alone, or take one that exists from the others; returns it."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _FILE))
    if path.is_file():
        tighten(path)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file for the owner alone."""
    private_file(path).write_text(text)


def tighten(path: Path) -> None:
    """Take a file or folder that exists from everybody but its owner.

    Links are left alone, and so is what belongs to another user: its mode is that user's decision.
    """
    with suppress(OSError):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
            path.chmod(stat.S_IMODE(mode) & ~UMASK)
