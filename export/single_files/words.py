"""Tokenizers of single files, which hold none: CLIP's own words, or those of a folder that the user names."""

from __future__ import annotations

import gzip
import json
import shutil
import weakref
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from export import tokens
from export.errors import SourceRefused
from export.parts import TOKENIZER_FILES

MERGES = Path(__file__).with_name("clip_merges.txt.gz")
"""CLIP's 48,894 merges, a line each; clip_merges.LICENSE has where they come from."""
_SPECIAL = ("<|startoftext|>", "<|endoftext|>")


class Scratch:
    """A temporary folder at `path`; removed with the last reference to it, at the latest when Python ends."""

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="controlmesh-words-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@cache
def merges() -> tuple[str, ...]:
    """CLIP's merges, the first the most frequent: two tokens with a space between them."""
    return tuple(gzip.decompress(MERGES.read_bytes()).decode("utf-8").splitlines())


def vocabulary() -> dict[str, int]:
    """CLIP's 49,408 tokens with their ids: each byte, each byte at a word's end, every merge, start and end of text."""
    letters = _letters()
    listed = [*letters, *(f"{letter}</w>" for letter in letters), *(line.replace(" ", "") for line in merges())]
    return {token: number for number, token in enumerate((*listed, *_SPECIAL))}


def _letters() -> list[str]:
    """The character that stands for each byte: printable ones for themselves, first; the others from U+0100."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = 0x100 - len(plain)
    return [*map(chr, plain), *(chr(0x100 + number) for number in range(others))]


def folders(pads: Mapping[str, str | None], given: Path | None) -> tuple[dict[str, Path], Scratch]:
    """Tokenizers in ordinary folders, and what must be kept as long as they are read.

    Args:
        pads: name of a tokenizer -> the token that it pads with; None: its own, which is CLIP's end of text.
        given: a checked folder with a tokenizer's files, to take in place of CLIP's.
    """
    scratch = Scratch()
    made = {}
    for name, pad in pads.items():
        made[name] = scratch.path / name
        made[name].mkdir()
        if given is None:
            _write_clip(made[name])
        else:
            for file in (given / file for file in TOKENIZER_FILES):
                if file.is_file():
                    shutil.copyfile(file, made[name] / file.name)
        if pad is not None:
            _pad_with(pad, made[name])
    return made, scratch


def _write_clip(folder: Path) -> None:
    (folder / "vocab.json").write_text(json.dumps(vocabulary(), ensure_ascii=False), "utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges(), ""]), "utf-8")
    settings = {"bos_token": _SPECIAL[0], **dict.fromkeys(("eos_token", "pad_token", "unk_token"), _SPECIAL[1])}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")


def _pad_with(token: str, folder: Path) -> None:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = folder / name
        if path.is_file() or name == "tokenizer_config.json":
            found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
            path.write_text(json.dumps(found | {"pad_token": token}), "utf-8")


def check(what: str, embeddings: int, folder: Path, given: bool) -> None:
    """Raise SourceRefused unless there is an embedding for every token of the tokenizer in `folder`, and no other.

    Args:
        what: the text encoder, for messages.
        embeddings: the tokens that it knows.
        folder: the tokenizer's.
        given: whether the user named it.
    """
    known = len(tokens.vocabulary(folder))
    if known == embeddings:
        return
    whose = "the folder of --tokenizer" if given else "CLIP's own vocabulary, which is taken without --tokenizer,"
    raise SourceRefused(
        f"{what}: it has embeddings of {embeddings} tokens, but {whose} has {known}: give --tokenizer FOLDER with the "
        "vocab.json and merges.txt (or tokenizer.json) that the model was trained with"
    )
