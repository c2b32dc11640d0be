import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from families.limits import PROMPT_CHUNKS
from families.manifest import tokenizer_paths
from mesh.errors import InternalError, InvalidInput
from mesh.prompt_tags import without_tags
from preprocess_svc.chunks import Tokens, chunks_needed, lay_out
from preprocess_svc.text import TextEncoder
from tests.rigs.model_cards import card, encoder

TOKENIZER = Path("demo/weights/tokenizer/tokenizer.json")
BOS, EOS, PAD, WIDTH = 706, 707, 5, 8

FACTS = card(name="demo", text_width=WIDTH, encoders=(encoder(width=WIDTH, pad=PAD, bos=BOS, eos=EOS),))


class Encoder:
    """Stands in for Triton: each token's state depends on its id, its place in the row and the row's other tokens."""

    def __init__(self) -> None:
        self.calls: list[np.ndarray] = []

    async def infer(self, model: str, inputs: dict[str, np.ndarray], outputs: list[str]) -> dict[str, Any]:
        assert model == "demo_text_encoder"
        assert inputs["layers_skipped"].shape == (len(inputs["input_ids"]), 1)
        self.calls.append(inputs["input_ids"])
        return {"hidden": states(inputs["input_ids"])}


def states(ids: np.ndarray) -> np.ndarray:
    place = np.arange(77)[None, :, None]
    channel = np.arange(WIDTH)[None, None, :]
    whole = ids.sum(axis=1)[:, None, None]
    return (0.2 + np.sin(ids[..., None] * 0.7 + place * 0.3 + channel + whole * 0.01)).astype(np.float32)


@pytest.fixture
def triton() -> Encoder:
    return Encoder()


@pytest.fixture
def encoder(tmp_path: Path, triton: Encoder) -> TextEncoder:
    (target,) = tokenizer_paths(tmp_path, FACTS)
    target.parent.mkdir()
    shutil.copyfile(Path(__file__).parents[3] / TOKENIZER, target)
    return TextEncoder(FACTS, tmp_path, triton)


def words(count: int) -> str:
    """`count` words of one token each."""
    return " ".join(["red", "star", "blue"][i % 3] for i in range(count))


def weights_of(encoder: TextEncoder, prompt: str) -> list[float]:
    (tokens,), _ = encoder.tokenize("prompt", prompt, True)
    return tokens.weights


async def test_a_plain_prompt_is_the_same_with_and_without_weighting(encoder: TextEncoder, triton: Encoder) -> None:
    prompts = [("negative_prompt", ""), ("prompt", "a red star, bright; it's 5 o'clock")]
    unread, made = await encoder.encode(prompts, weighting=False), await encoder.encode(prompts)
    (plain, notes), (read, read_notes) = (unread.text, unread.notes), (made.text, made.notes)
    np.testing.assert_array_equal(plain, read)
    assert plain.shape == (2, 77, WIDTH)
    assert plain.dtype == np.float32
    assert (notes, read_notes) == ([], [])
    np.testing.assert_array_equal(*triton.calls)
    np.testing.assert_array_equal(plain, states(triton.calls[0]))
    assert triton.calls[0][0].tolist() == [BOS, EOS, *[PAD] * 75]


async def test_without_weighting_brackets_are_words_and_the_rest_is_dropped(
    encoder: TextEncoder, triton: Encoder
) -> None:
    (brackets,), _ = encoder.tokenize("prompt", "(star:1.2)", False)
    assert len(brackets.ids) > 1
    assert set(brackets.weights) == {1}
    made = await encoder.encode([("prompt", words(80))], weighting=False)
    text, notes = made.text, made.notes
    assert text.shape == (1, 77, WIDTH)
    assert notes == ["prompt has 80 tokens; the model reads 75: the last 5 were dropped"]
    assert (triton.calls[0][0, 0], triton.calls[0][0, 76]) == (BOS, EOS)


async def test_weights_reach_their_words_only(encoder: TextEncoder) -> None:
    assert weights_of(encoder, "red (star:2) blue") == [1, 2, 1]
    (tokens,), _ = encoder.tokenize("prompt", "red (star:2) blue", True)
    (plain,), _ = encoder.tokenize("prompt", "red star blue", True)
    assert tokens.ids == plain.ids
    (weighted,) = (await encoder.encode([("prompt", "red (star:2) blue")])).text
    (unweighted,) = (await encoder.encode([("prompt", "red star blue")])).text
    ratio = weighted / unweighted
    np.testing.assert_allclose(ratio[2], 2 * ratio[0], rtol=1e-5)
    np.testing.assert_allclose(ratio[3:], np.broadcast_to(ratio[0], (74, WIDTH)), rtol=1e-5)
    assert weighted.mean() == pytest.approx(unweighted.mean(), rel=1e-5)


async def test_only_the_weighted_prompt_is_scaled(encoder: TextEncoder) -> None:
    (negative, positive) = (await encoder.encode([("negative_prompt", "blue"), ("prompt", "(red:2) star")])).text
    (alone,) = (await encoder.encode([("prompt", "blue")])).text
    np.testing.assert_array_equal(negative, alone)
    (unweighted,) = (await encoder.encode([("prompt", "red star")])).text
    assert not np.allclose(positive, unweighted)


async def test_weights_out_of_range_are_held_and_said(encoder: TextEncoder) -> None:
    (tokens,), notes = encoder.tokenize("prompt", "(red:11) (star:-1) (blue:10)", True)
    assert tokens.weights == [10, 0, 10]
    assert notes == ["weights in prompt must be 0 to 10; those outside were set to the nearest limit"]


@pytest.mark.parametrize(("count", "chunks"), [(0, 1), (1, 1), (75, 1), (76, 2), (150, 2), (151, 3), (600, 8)])
async def test_a_long_prompt_takes_the_chunks_it_needs_in_one_call(
    encoder: TextEncoder, triton: Encoder, count: int, chunks: int
) -> None:
    made = await encoder.encode([("negative_prompt", "blue"), ("prompt", words(count))])
    text, notes = made.text, made.notes
    assert text.shape == (2, 77 * chunks, WIDTH)
    assert notes == []
    [ids] = triton.calls
    assert ids.shape == (2 * chunks, 77)
    assert (ids[:, 0] == BOS).all()
    assert (ids == EOS).sum(axis=1).tolist() == [1] * (2 * chunks)
    # the short prompt ends in empty chunks
    assert ids[1:chunks].tolist() == [[BOS, EOS, *[PAD] * 75]] * (chunks - 1)
    np.testing.assert_array_equal(text.reshape(-1, 77, WIDTH), states(ids))


async def test_past_the_last_chunk_words_are_dropped_and_said(encoder: TextEncoder, triton: Encoder) -> None:
    made = await encoder.encode([("prompt", words(610))])
    text, notes = made.text, made.notes
    assert text.shape == (1, 77 * PROMPT_CHUNKS, WIDTH)
    assert notes == ["prompt has 610 tokens; the model reads 600: the last 10 were dropped"]


async def test_more_rows_than_a_batch_are_several_calls(encoder: TextEncoder, triton: Encoder) -> None:
    text = (await encoder.encode([(f"prompt{i}", words(600)) for i in range(3)])).text
    assert [len(ids) for ids in triton.calls] == [16, 8]
    np.testing.assert_array_equal(text[0], text[2])


async def test_skipping_more_layers_than_there_are_is_refused(encoder: TextEncoder) -> None:
    with pytest.raises(InvalidInput, match="0 to 1") as error:
        await encoder.encode([("prompt", "red")], clip_skip=2)
    assert error.value.field == "clip_skip"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 700), st.floats(0, 10, width=32)), max_size=400), st.integers(0, 2))
def test_chunks_hold_every_token_once_with_its_weight(drawn: list[tuple[int, float]], empty: int) -> None:
    tokens = Tokens([token for token, _ in drawn], [weight for _, weight in drawn])
    chunks = chunks_needed(tokens, FACTS.encoders[0]) + empty
    ids, weights = lay_out(tokens, chunks, FACTS.encoders[0])
    assert ids.shape == (chunks, 77)
    assert weights.shape == (chunks * 77,)
    rows = weights.reshape(chunks, 77)
    assert (rows[:, 0] == 1).all()
    read: list[tuple[int, float]] = []
    for row, its_weights in zip(ids.tolist(), rows.tolist(), strict=True):
        assert row[0] == BOS
        end = row.index(EOS)
        read += zip(row[1:end], its_weights[1:end], strict=True)
        assert row[end + 1 :] == [PAD] * (76 - end)
        assert its_weights[end:] == [1] * (77 - end)
    assert read == drawn


@pytest.mark.parametrize(
    ("tagged", "words"),
    [
        ("<lora:a> red <LoRA:b c (x):0.5:1> star", "red star"),
        ("red (star<lora:x:1>:1.5) (<lora:y:1>:0.3)", "red (star:1.5)"),
    ],
)
def test_text_without_its_tags_has_the_tokens_of_its_words(encoder: TextEncoder, tagged: str, words: str) -> None:
    assert encoder.tokenize("prompt", without_tags(tagged)[0], True) == encoder.tokenize("prompt", words, True)


async def test_embeddings_that_are_no_numbers_are_an_error(encoder: TextEncoder, tmp_path: Path) -> None:
    class Broken(Encoder):
        async def infer(self, model: str, inputs: dict[str, np.ndarray], outputs: list[str]) -> dict[str, Any]:
            found = await super().infer(model, inputs, outputs)
            return {"hidden": np.where(found["hidden"] > 1, np.nan, found["hidden"])}

    broken: Any = Broken()
    with pytest.raises(InternalError, match="text embeddings are not finite"):
        await TextEncoder(FACTS, tmp_path, broken).encode([("prompt", "a red star")])
    assert len(broken.calls) == 2, "asked once more"
