"""A CLIP-format tokenizer of the demo's own: byte-level BPE with end-of-word marks, learnt from its captions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

TOKENS = 77
START, END = "<|startoftext|>", "<|endoftext|>"
LARGEST_VOCABULARY = 1400
END_OF_WORD = "</w>"
#: CLIP's own division into words (Radford et al. 2021, simple_tokenizer.py), without the special tokens.
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
#: Words that users write and captions do not; as whole tokens they leave more of the 77 places.
USUAL_WORDS = (
    *("left", "right", "of", "the", "small", "large", "big", "tiny", "shiny", "matte", "soft", "light", "dark"),
    *("bright", "shape", "shapes", "object", "objects", "image", "picture", "scene", "two", "three", "one"),
    *("rendering", "with", "in", "and", "best", "quality", "high", "low", "worst", "blurry", "deformed", "ugly"),
    "detailed",
)


def train_tokenizer(captions: Iterable[str], folder: Path) -> CLIPTokenizer:
    """Learn merges from `captions` and write a tokenizer that CLIPTokenizer.from_pretrained(folder) reads."""
    learnt = Tokenizer(models.BPE(end_of_word_suffix=END_OF_WORD, continuing_subword_prefix=""))
    learnt.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = byte_alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=LARGEST_VOCABULARY,
        initial_alphabet=alphabet,
        end_of_word_suffix=END_OF_WORD,
        show_progress=False,
    )
    learnt.train_from_iterator([*captions, *USUAL_WORDS * 50], trainer)
    merges = [tuple(pair) for pair in json.loads(learnt.to_str())["model"]["merges"]]
    names = [*alphabet, *(letter + END_OF_WORD for letter in alphabet), *("".join(pair) for pair in merges)]
    vocabulary = {name: number for number, name in enumerate(dict.fromkeys([*names, START, END]))}
    with TemporaryDirectory() as files:
        Path(files, "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
        lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
        Path(files, "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        settings = {
            "tokenizer_class": "CLIPTokenizer",
            "bos_token": START,
            "eos_token": END,
            "unk_token": END,
            "pad_token": END,
            "model_max_length": TOKENS,
        }
        Path(files, "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
        tokenizer = CLIPTokenizer.from_pretrained(files)
    tokenizer.save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)


def byte_alphabet() -> list[str]:
    """The printable stand-in of every byte 0..255, in the order of GPT-2's and CLIP's vocabularies."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(rest))]
