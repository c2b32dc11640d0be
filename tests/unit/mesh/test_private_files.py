"""Files and folders for their owner alone, whatever the umask is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.private_files import private_file, private_folder, tighten, write_private


@pytest.fixture(params=[0o000, 0o022, 0o777], autouse=True)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """The process's umask is none, the usual one, and one that leaves nothing."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return private_folder(tmp_path / "a" / "b")


def test_what_is_created_is_the_owners(folder: Path) -> None:
    assert [mode(folder.parent), mode(folder)] == [0o700, 0o700]
    assert mode(private_file(folder / "file")) & 0o077 == 0
    os.umask(0)
    write_private(folder / "text", "words")
    assert (mode(folder / "text"), (folder / "text").read_text()) == (0o600, "words")


def test_what_exists_is_taken_from_the_others(folder: Path) -> None:
    os.umask(0)
    file = folder / "file"
    file.write_text("kept")
    folder.chmod(0o755)
    file.chmod(0o644)
    assert mode(private_folder(folder)) == 0o755, "it may hold other things than ours"
    assert mode(private_file(file)) == 0o600 and file.read_text() == "kept"
    tighten(folder)
    assert mode(folder) == 0o700
    file.chmod(0o644)
    (folder / "link").symlink_to(file)
    tighten(folder / "link")
    tighten(folder / "absent")
    assert mode(file) == 0o644, "a link may lead anywhere"
