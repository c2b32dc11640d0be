"""CLIP's own words, rebuilt from its merges, against transformers' tokenizer; other words that the user names."""

import gc
import json
import shutil
from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from export import tokens
from export.errors import SourceRefused
from export.single_files import words
from tests.rigs.tiny_layers import TOKENIZER

BOTH = {"tokenizer": None, "tokenizer_2": "!"}
CAT = [49406, 320, 1125, 539, 320, 2368, 49407]
"""The ids that CLIP's tokenizer gives to "a photo of a cat"."""


def test_clip_s_words_have_the_ids_that_they_were_trained_with() -> None:
    known = words.vocabulary()
    assert len(known) == 49_408 and len(words.merges()) == 48_894
    assert [known[token] for token in ("!", "<|startoftext|>", "a</w>", "cat</w>", "<|endoftext|>")] == [
        *(0, 49406, 320, 2368, 49407)
    ]


def test_both_of_sdxl_s_tokenizers_read_as_clip_s_and_pad_otherwise(tmp_path: Path) -> None:
    folders, scratch = words.folders(BOTH, None)
    assert [folder.parent for folder in folders.values()] == [scratch.path] * 2
    for folder, pad in zip(folders.values(), (49407, 0), strict=True):
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        assert tokenizer("a photo of a cat").input_ids == CAT
        assert tokenizer("a photo of a cat", padding="max_length", max_length=9).input_ids == [*CAT, pad, pad]
        ids = tokens.special_ids(folder)
        assert ids == {"pad": pad, "bos": 49406, "eos": 49407}
        # Raises for any of the tricky prompts on which it differs from transformers'.
        tokens.write(folder, tmp_path / "tokenizer.json", ids)


def test_the_user_s_words_take_the_place_of_clip_s_and_stay_as_they_are(tmp_path: Path) -> None:
    own = shutil.copytree(TOKENIZER, tmp_path / "own")
    (own / "special_tokens_map.json").write_text('{"pad_token": "<|endoftext|>"}')
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    folders, _kept = words.folders(BOTH, own)
    known = tokens.vocabulary(own)
    assert [tokens.special_ids(folder)["pad"] for folder in folders.values()] == [known["<|endoftext|>"], known["!"]]
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before


def test_temporary_folders_go_with_what_needs_them() -> None:
    folders, scratch = words.folders(BOTH, None)
    assert all((folder / "vocab.json").is_file() for folder in folders.values())
    place = scratch.path
    del scratch
    gc.collect()
    assert not place.exists()


@pytest.mark.parametrize(("given", "whose"), [(False, "CLIP's own vocabulary"), (True, "the folder of --tokenizer")])
def test_words_without_embeddings_are_refused_naming_the_option(tmp_path: Path, given: bool, whose: str) -> None:
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "b": 1}))
    words.check("text_encoder", 2, tmp_path, given)
    for embeddings in (1, 3):
        with pytest.raises(SourceRefused) as raised:
            words.check("text_encoder", embeddings, tmp_path, given)
        said = str(raised.value)
        assert f"text_encoder: it has embeddings of {embeddings} tokens, but {whose}" in said
        assert "has 2: give --tokenizer FOLDER" in said
