"""The tokenizer that serving uses: one `tokenizer.json` for the `tokenizers` library, checked against transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from export.errors import Mismatch, SourceRefused

LENGTH = 77
T5_LONGEST = 512
T5_PAD, T5_END = "<pad>", "</s>"

TRICKY = (
    "",
    " ",
    "a photo of an astronaut riding a horse on mars",
    "A PHOTO Of An AstroNaut",
    "naïve café, São Paulo, ångström, Straße",
    "cafe\u0301 with a combining accent",
    "赤い丸と青い四角、白い背景",
    "빨간 원 на белом фоне",
    "🙂🏳️‍🌈 emoji 👩‍🚀 and \u200d joiners",
    "it's they're we've I'm you'll he'd",
    "8k, 4k!!! (((masterpiece))) [bad:1.2] <lora:x:0.5> a_b-c/d\\e",
    "tabs\tand\nnew lines   and    spaces",
    "<|startoftext|> inside <|endoftext|> the text",
    "\x00\x07 control \ufffd characters \U000e0001",
    "word " * 100,
    "日本語" * 60,
    "x" * 300,
)
"""Prompts on which tokenizers are known to disagree: case, accents, scripts, emoji, specials, over-long."""


ROLES: Mapping[str, str] = {"pad": "<|endoftext|>", "bos": "<|startoftext|>", "eos": "<|endoftext|>"}
"""Special tokens by role, with CLIP's own text where the source's files name none."""


def special_ids(folder: Path) -> dict[str, int]:
    """Token ids of pad, bos and eos, from the tokenizer's files alone.

    Raises SourceRefused if the files are unreadable or a special token is not in the vocabulary.
    """
    settings: dict[str, Any] = {}
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        settings |= _json(folder / name) if (folder / name).is_file() else {}
    known, ids = vocabulary(folder), {}
    for role, usual in ROLES.items():
        token = settings.get(f"{role}_token") or usual
        text = token["content"] if isinstance(token, dict) else token
        if text not in known:
            raise SourceRefused(f"tokenizer: the {role} token {text!r} is not in the vocabulary")
        ids[role] = int(known[text])
    return ids


def vocabulary(folder: Path) -> dict[str, Any]:
    """Token -> id, from the tokenizer's files alone. Raises SourceRefused if they are unreadable."""
    if not (folder / "tokenizer.json").is_file():
        return _json(folder / "vocab.json")
    whole = _json(folder / "tokenizer.json")
    known = dict(whole.get("model", {}).get("vocab", {}))
    return known | {token["content"]: token["id"] for token in whole.get("added_tokens", ())}


@dataclass(frozen=True, slots=True)
class T5Words:
    """What a T5 tokenizer's files say: ids of its special tokens, the largest id, and how many tokens it gives."""

    pad: int
    eos: int
    largest: int
    length: int


def t5_ids(folder: Path) -> T5Words:
    """Read a T5 tokenizer's tokenizer.json. Raises SourceRefused if there is none, or it is no unigram model."""
    if not (folder / "tokenizer.json").is_file():
        raise SourceRefused("tokenizer_2: tokenizer.json is missing; a SentencePiece file alone can't be read")
    whole = _json(folder / "tokenizer.json")
    model, settings = whole.get("model", {}), _json(folder / "tokenizer_config.json")
    if model.get("type") != "Unigram" or not isinstance(model.get("vocab"), list):
        raise SourceRefused("tokenizer_2: tokenizer.json holds no unigram model, as T5's does")
    pieces = {str(piece[0]): index for index, piece in enumerate(model["vocab"])}
    pieces |= {token["content"]: token["id"] for token in whole.get("added_tokens", ())}
    for piece in (T5_PAD, T5_END):
        if piece not in pieces:
            raise SourceRefused(f"tokenizer_2: the token {piece!r} is not in the vocabulary")
    length = settings.get("model_max_length")
    return T5Words(
        pad=pieces[T5_PAD],
        eos=pieces[T5_END],
        largest=max(pieces.values()),
        length=length if isinstance(length, int) and 0 < length <= T5_LONGEST else T5_LONGEST,
    )


def write_t5(folder: Path, target: Path, length: int) -> None:
    """Write `target` from the T5 tokenizer in `folder`; truncation and padding to `length` tokens are part of the file.

    Raises SourceRefused if transformers can't read it, Mismatch if the written one gives other tokens than its
    T5Tokenizer on any of TRICKY.
    """
    from transformers import T5Tokenizer

    try:
        theirs: Any = T5Tokenizer.from_pretrained(folder, local_files_only=True)
        ours = Tokenizer.from_str(theirs.backend_tokenizer.to_str())
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        raise SourceRefused(f"tokenizer_2: transformers cannot read it as a T5 tokenizer ({error})") from error
    ours.enable_truncation(length)
    ours.enable_padding(length=length, pad_id=theirs.pad_token_id, pad_token=theirs.pad_token)
    ours.save(str(target))
    compare(Tokenizer.from_file(str(target)), theirs, length)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise SourceRefused(f"tokenizer: {path.name} is not readable JSON ({type(error).__name__})") from error
    if not isinstance(found, dict):
        raise SourceRefused(f"tokenizer: {path.name} is not a JSON object")
    return found


def write(folder: Path, target: Path, ids: Mapping[str, int]) -> None:
    """Write `target` from the tokenizer in `folder`; truncation and padding to 77 tokens are part of the file.

    `ids` are those of `special_ids`. Raises SourceRefused if the folder holds no CLIP tokenizer, Mismatch if the
    written one gives other tokens than transformers' CLIPTokenizer on any of TRICKY.
    """
    from transformers import CLIPTokenizer

    try:
        theirs: Any = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        ours = Tokenizer.from_str(theirs.backend_tokenizer.to_str())
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        raise SourceRefused(f"tokenizer: transformers cannot read it as a CLIP tokenizer ({error})") from error
    found = {"pad": theirs.pad_token_id, "bos": theirs.bos_token_id, "eos": theirs.eos_token_id}
    if found != dict(ids):
        raise Mismatch(f"special tokens: the files say {dict(ids)}, transformers reads {found}")
    ours.enable_truncation(LENGTH)
    ours.enable_padding(length=LENGTH, pad_id=theirs.pad_token_id, pad_token=theirs.pad_token)
    ours.save(str(target))
    compare(Tokenizer.from_file(str(target)), theirs)


def compare(written: Tokenizer, theirs: Any, length: int = LENGTH) -> None:
    """Raises Mismatch with the first prompt on which `written` and transformers' tokenizer disagree."""
    for prompt in TRICKY:
        expected = theirs(prompt, padding="max_length", max_length=length, truncation=True).input_ids
        found = written.encode(prompt).ids
        if found != expected:
            raise Mismatch(f"the written tokenizer differs from transformers' on {prompt[:40]!r}")
