import itertools
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from families.limits import PROMPT_CHARACTERS
from preprocess_svc.weighting import PROMPT_WEIGHT, parse, weigh


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("", []),
        ("normal text", [("normal text", 1)]),
        ("an (important) word", [("an ", 1), ("important", 1.1), (" word", 1)]),
        ("an [unimportant] word", [("an ", 1), ("unimportant", 1 / 1.1), (" word", 1)]),
        ("(high detailed skin:1.2), 8k", [("high detailed skin", 1.2), (", 8k", 1)]),
        ("((very)) [[little]]", [("very", 1.21), (" ", 1), ("little", 1 / 1.21)]),
        ("([even])", [("even", 1)]),
        ("(a (b:2) c:3)", [("a ", 3), ("b", 6), (" c", 3)]),
        ("(a:.5)(b: 2. )(c:+3)(d:-1)", [("a", 0.5), ("b", 2), ("c", 3), ("d", -1)]),
        # neighbours of equal weight are one
        ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        ("(plain:1) words", [("plain words", 1)]),
        # escapes
        (r"\(literal\]", [("(literal]", 1)]),
        (r"star \(shape\), \[x\] \\o/", [(r"star (shape), [x] \o/", 1)]),
        (r"(a \(b\):1.3)", [("a (b)", 1.3)]),
        (r"back\slash \:", [(r"back\slash \:", 1)]),
        ("\\", [("\\", 1)]),
        # brackets without a partner
        ("(unbalanced", [("unbalanced", 1.1)]),
        ("a ((b) c", [("a ", 1), ("b", 1.21), (" c", 1.1)]),
        ("a [b", [("a ", 1), ("b", 1 / 1.1)]),
        ("a) b] c", [("a) b] c", 1)]),
        ("a:1.5) b", [("a:1.5) b", 1)]),
        ("((((", []),
        ("()[]", []),
        # brackets that overlap
        ("(a [b) c]", [("a ", 1.1), ("b", 1), (" c", 1 / 1.1)]),
        # no numbers
        ("ratio 16:9", [("ratio 16:9", 1)]),
        ("(ratio 16:9)", [("ratio 16", 9)]),
        ("(a:b)", [("a:b", 1.1)]),
        ("(a:)", [("a:", 1.1)]),
        ("(a:1.2.3)", [("a:1.2.3", 1.1)]),
        ("(a:.)", [("a:.", 1.1)]),
        ("(a:1e5)", [("a:1e5", 1.1)]),
        ("(a:nan)", [("a:nan", 1.1)]),
        ("[a:2]", [("a:2", 1 / 1.1)]),
        # the example of the grammar's authors
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                ("a ", 1),
                ("house", 1.1 * 1.1 * 1.3),
                (" ", 1.1),
                ("on", 1),
                (" a ", 1.1),
                ("hill", 0.55),
                (", sun, ", 1.1),
                ("sky", 1.1**4),
                (".", 1.1),
            ],
        ),
    ],
)
def test_prompts_are_read_as_written(prompt: str, pieces: list[tuple[str, float]]) -> None:
    read = parse(prompt)
    assert [piece.text for piece in read] == [text for text, _ in pieces]
    assert [piece.weight for piece in read] == pytest.approx([weight for _, weight in pieces], rel=1e-12)


def letters(text: str) -> str:
    return "".join(character for character in text if character.isalpha())


MARKS = st.text(st.sampled_from(list("ab é,\n.:0123456789+-()[]\\")), max_size=60)


@settings(deadline=None)
@given(st.one_of(MARKS, st.text(max_size=60)))
def test_any_text_is_read_and_its_words_survive(prompt: str) -> None:
    pieces = parse(prompt)
    assert letters("".join(piece.text for piece in pieces)) == letters(prompt)
    assert all(piece.text and math.isfinite(piece.weight) for piece in pieces)
    assert all(one.weight != other.weight for one, other in itertools.pairwise(pieces))


@settings(deadline=None)
@given(st.one_of(MARKS, st.text(max_size=60)))
def test_escaped_text_is_read_as_it_was(text: str) -> None:
    pieces = parse(re.sub(r"([()\[\]\\])", r"\\\1", text))
    assert [(piece.text, piece.weight) for piece in pieces] == ([(text, 1.0)] if text else [])


@st.composite
def weighted(draw: st.DrawFn, depth: int = 3) -> list[tuple[str, float, str]]:
    """Words, their weight and how they are written, for balanced prompts."""
    words = draw(st.text("abc ", min_size=1, max_size=4))
    if depth == 0 or draw(st.booleans()):
        return [(words, 1.0, words)]
    inner = draw(st.lists(weighted(depth - 1), min_size=1, max_size=3))
    opening, closing, factor = draw(
        st.sampled_from([("(", ")", 1.1), ("[", "]", 1 / 1.1), ("(", ":1.5)", 1.5), ("(", ": 0.25 )", 0.25)])
    )
    parts = [part for group in inner for part in group]
    parts = [(text, weight * factor, written) for text, weight, written in parts]
    first = parts[0]
    parts[0] = (first[0], first[1], opening + first[2])
    last = parts[-1]
    parts[-1] = (last[0], last[1], last[2] + closing)
    return parts


@settings(deadline=None)
@given(weighted())
def test_every_letter_of_a_balanced_prompt_has_the_product_of_its_brackets(parts: list[tuple[str, float, str]]) -> None:
    read = [(character, piece.weight) for piece in parse("".join(p[2] for p in parts)) for character in piece.text]
    expected = [(character, weight) for text, weight, _ in parts for character in text]
    assert [character for character, _ in read] == [character for character, _ in expected]
    assert [weight for _, weight in read] == pytest.approx([weight for _, weight in expected], rel=1e-9)


@pytest.mark.parametrize(
    "unit", ["(", "[", ")", "(a", "[a", "(a)b", "\\", ":", "(:1", "(a:" + "9" * 500 + ")", "1", ": ", "(a:0", ":-9)"]
)
def test_hostile_prompts_give_finite_weights(unit: str) -> None:
    """Nothing overflows, and no pattern goes back and forth: in quadratic time this would take minutes."""
    prompt = (unit * PROMPT_CHARACTERS)[:PROMPT_CHARACTERS]
    for text in (prompt, "(" * 8000 + "a:" + prompt, "(" * 4000 + "(a:0)" + ":9)" * 4000):
        assert all(math.isfinite(piece.weight) for piece in parse(text))


def hidden_states(mean: float) -> np.ndarray:
    return (np.random.default_rng(3).standard_normal((77, 32)) + mean).astype(np.float32)


def test_weights_of_one_change_no_bit() -> None:
    hidden = hidden_states(0.1)
    assert weigh(hidden, np.ones(77, np.float32)) is hidden


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.1, 1.6, 9.0])
def test_states_are_weighted_and_their_mean_restored_as_lpw_stable_diffusion_does(weight: float) -> None:
    hidden = hidden_states(-0.1)
    weights = np.ones(77, np.float32)
    weights[3:9] = weight
    states = torch.from_numpy(hidden.copy())[None]
    previous = states.float().mean(axis=[-2, -1])
    states *= torch.from_numpy(weights)[None].unsqueeze(-1)
    states *= (previous / states.float().mean(axis=[-2, -1])).unsqueeze(-1).unsqueeze(-1)
    ours = weigh(hidden, weights)
    np.testing.assert_allclose(ours, states[0].numpy(), rtol=1e-5)
    assert ours.mean() == pytest.approx(hidden.mean(), rel=1e-5)
    assert not np.allclose(ours, hidden)


def test_a_mean_that_is_only_rounding_is_not_restored() -> None:
    hidden = hidden_states(0.0)
    hidden -= hidden.mean(axis=1, keepdims=True)  # as a layer norm without a trained bias leaves them
    weights = np.ones(77, np.float32)
    weights[5:20] = 1.5
    np.testing.assert_array_equal(weigh(hidden, weights), hidden * weights[:, None])


def test_a_mean_that_changes_its_sign_is_not_restored() -> None:
    hidden = np.full((77, 4), -0.1, np.float32)
    hidden[1:3] = 1.0
    weights = np.ones(77, np.float32)
    weights[1:3] = PROMPT_WEIGHT.maximum
    assert hidden.mean() < 0 < (hidden * weights[:, None]).mean()
    np.testing.assert_array_equal(weigh(hidden, weights), hidden * weights[:, None])
