from pathlib import Path

import pytest

from local.docs import FILES, PAGES, refresh
from preprocess_svc.controls import CONTROLS

NAMES = [*(name for parts in PAGES.values() for name in parts), *FILES]


def pages(folder: Path) -> Path:
    for name, parts in PAGES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        text = "\n".join(f"## {part}\n<!-- generated: {part} -->\n<!-- end -->\nafter {part}" for part in parts)
        path.write_text(f"before\n{text}\n")
    return folder


def test_empty_parts_are_filled_and_what_lies_between_stays(tmp_path: Path) -> None:
    root = pages(tmp_path)
    assert refresh(write=True, root=root) == NAMES
    texts = {name: (root / name).read_text() for name in PAGES}
    assert all(f"after {part}" in texts[name] for name, parts in PAGES.items() for part in parts)
    assert "`UniPCMultistepScheduler`" in texts["README.md"]
    assert "`CN_EDGE_ADDRESS`" in texts["README.md"]
    assert refresh(write=True, root=root) == []


def test_every_extractor_has_its_row(tmp_path: Path) -> None:
    root = pages(tmp_path)
    refresh(write=True, root=root)
    text = (root / "docs/hints.md").read_text()
    for control in CONTROLS.values():
        assert all(f"| `{control.kind}` | `{one.name}` |" in text for one in control.extractors)
        assert all(id in text for ids in control.controlnets.values() for id in ids)
    assert "`python -m export annotator" in text


def test_a_stale_part_is_named_and_left_alone_by_a_check(tmp_path: Path) -> None:
    root = pages(tmp_path)
    refresh(write=True, root=root)
    readme = root / "README.md"
    stale = readme.read_text().replace("White edges", "Black edges")
    readme.write_text(stale)
    assert refresh(write=False, root=root) == ["controls"]
    assert readme.read_text() == stale


def test_a_stale_or_missing_file_is_named_and_left_alone_by_a_check(tmp_path: Path) -> None:
    root = pages(tmp_path)
    refresh(write=True, root=root)
    stale, missing, *_ = FILES
    (root / stale).write_text("{}")
    (root / missing).unlink()
    assert refresh(write=False, root=root) == [stale, missing]
    assert (root / stale).read_text() == "{}" and not (root / missing).exists()


def test_a_missing_part_is_an_error(tmp_path: Path) -> None:
    root = pages(tmp_path)
    (root / "README.md").write_text("nothing generated here\n")
    with pytest.raises(LookupError, match="no part that begins with"):
        refresh(write=False, root=root)
