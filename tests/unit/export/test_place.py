"""The swap: whatever fails, and wherever it is cut off, the old model is whole or the new one is."""

import os
from pathlib import Path

import pytest

from export.errors import Busy
from export.place import Placement

OLD = {"m": "old card", "m_unet": "old unet", "m_controlnet_depth": "old depth", "n_unet": "another model's"}
NEW = {"m": "new card", "m_unet": "new unet", "m_controlnet_canny": "new canny"}
RETIRED = frozenset({"m_controlnet_depth"})
AFTER = NEW | {"n_unet": "another model's"}
RENAMES = 6
"""m_controlnet_canny in; m_controlnet_depth out; m_unet out, in; m out, in; then the one that ends the swap."""


class Failing:
    """os.rename that raises `error` instead of the `at`-th call."""

    def __init__(self, at: int, error: BaseException) -> None:
        self.at, self.error, self.calls = at, error, 0

    def __call__(self, source: Path, target: Path) -> None:
        if self.calls == self.at:
            raise self.error
        self.calls += 1
        os.rename(source, target)


def fill(folder: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "1" / "file").write_text(text)


def content(repository: Path) -> dict[str, str]:
    return {path.name: (path / "1" / "file").read_text() for path in repository.iterdir() if path.name[0] != "."}


def leftovers(repository: Path) -> list[str]:
    return [path.name for path in repository.iterdir() if path.name[0] == "."]


def test_a_swap_replaces_adds_and_retires(tmp_path: Path) -> None:
    fill(tmp_path, OLD)
    placement = Placement(tmp_path, "m")
    with placement.exclusive():
        fill(placement.new_stage(), NEW)
        placement.swap(RETIRED)
    assert content(tmp_path) == AFTER
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", range(RENAMES + 1))
def test_a_failed_rename_leaves_the_old_model_whole(tmp_path: Path, at: int, error: BaseException) -> None:
    fill(tmp_path, OLD)
    placement = Placement(tmp_path, "m", Failing(at, error))
    with pytest.raises(type(error)), placement.exclusive():
        fill(placement.new_stage(), NEW)
        placement.swap(RETIRED)
    assert content(tmp_path) == OLD
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("at", range(RENAMES + 1))
def test_a_swap_cut_off_by_a_kill_is_undone_by_the_next_export(tmp_path: Path, at: int) -> None:
    fill(tmp_path, OLD)
    child = os.fork()
    if child == 0:
        placement = Placement(tmp_path, "m", Dying(at))
        with placement.exclusive():
            fill(placement.new_stage(), NEW)
            placement.swap(RETIRED)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9
    with Placement(tmp_path, "m").exclusive():
        pass
    assert content(tmp_path) == OLD
    assert leftovers(tmp_path) == []


class Dying(Failing):
    """os.rename in a process that ends without any clean-up at the `at`-th call."""

    def __init__(self, at: int) -> None:
        super().__init__(at, OSError())

    def __call__(self, source: Path, target: Path) -> None:
        try:
            super().__call__(source, target)
        except OSError:
            os._exit(9)


def test_two_exports_of_one_model_do_not_meet(tmp_path: Path) -> None:
    with Placement(tmp_path, "m").exclusive():
        with pytest.raises(Busy, match="'m'"), Placement(tmp_path, "m").exclusive():
            pytest.fail("both hold the lock")
        with Placement(tmp_path, "n").exclusive():
            pass


def test_an_export_that_fails_before_the_swap_leaves_nothing(tmp_path: Path) -> None:
    fill(tmp_path, OLD)
    placement = Placement(tmp_path, "m")
    with pytest.raises(ValueError), placement.exclusive():
        fill(placement.new_stage(), NEW)
        raise ValueError
    assert content(tmp_path) == OLD
    assert leftovers(tmp_path) == []
