from pathlib import Path

import pytest

from local.docs import PARTS, refresh


def page(folder: Path) -> Path:
    path = folder / "README.md"
    parts = "\n".join(f"## {name}\n<!-- generated: {name} -->\n<!-- end -->\nafter {name}" for name in PARTS)
    path.write_text(f"before\n{parts}\n")
    return path


def test_empty_parts_are_filled_and_what_lies_between_stays(tmp_path: Path) -> None:
    path = page(tmp_path)
    assert refresh(write=True, readme=path) == list(PARTS)
    text = path.read_text()
    assert all(f"after {name}" in text for name in PARTS)
    assert "`UniPCMultistepScheduler`" in text
    assert "`CN_EDGE_ADDRESS`" in text
    assert refresh(write=True, readme=path) == []


def test_a_stale_part_is_named_and_left_alone_by_a_check(tmp_path: Path) -> None:
    path = page(tmp_path)
    refresh(write=True, readme=path)
    stale = path.read_text().replace("White edges", "Black edges")
    path.write_text(stale)
    assert refresh(write=False, readme=path) == ["controls"]
    assert path.read_text() == stale


def test_a_missing_part_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("nothing generated here\n")
    with pytest.raises(LookupError, match="no part that begins with"):
        refresh(write=False, readme=path)
