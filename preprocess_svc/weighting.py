"""Weights inside a prompt: their grammar, and their effect on text embeddings.

The grammar is that of AUTOMATIC1111's web UI, which callers are used to:

    prompt   = { text | stronger | weighted | weaker } ;
    stronger = "(" prompt ")" ;                  (* times 1.1 *)
    weighted = "(" prompt ":" number ")" ;       (* times the number; spaces around it are allowed *)
    weaker   = "[" prompt "]" ;                  (* divided by 1.1 *)
    text     = { any character but ( ) [ ] | "\\(" | "\\)" | "\\[" | "\\]" | "\\\\" } ;
    number   = [ "+" | "-" ] ( digits [ "." [ digits ] ] | "." digits ) ;

Nested weights multiply. As in the web UI, every text is valid: an unclosed bracket weights all that follows it; a
closing bracket without an opening one is text, as is a colon without a number and ")" after it, and a backslash before
anything else (which the web UI drops). Round and square brackets are matched independently and may overlap. As in the
web UI, adjacent pieces of equal weight are merged: `(a)(b)` is `(ab)`.

Written here because no library fits: compel and the like run the text encoder themselves, in torch, and parser
generators are bad at leniency, which is half of the rules. Parsing takes time linear in the prompt's length.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from families.limits import Range

PROMPT_WEIGHT = Range(0, 10)
"""Allowed weights, factors of the encoder's output; others are replaced by the nearest limit."""

_STEP = 1.1
# Far outside the allowed range, but finite, so that no product of nested weights becomes NaN.
_BOUND = 1e9
# If the mean of the hidden states is below this share of their mean magnitude, it is not restored.
_NO_MEAN = 1e-4

# Possessive quantifiers where a hostile prompt could cause backtracking. `lastgroup` tells which group matched.
_MARK = re.compile(
    r"\\(?P<escaped>[()\[\]\\])"
    r"|(?P<open>\()"
    r"|(?P<less>\[)"
    r"|:\s*+(?P<number>[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++))\s*+\)"
    r"|(?P<close>\))"
    r"|(?P<end_less>\])"
    r"|(?P<text>[^\\()\[\]:]++|[\\:])"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of one weight; not empty."""

    text: str
    weight: float


def parse(prompt: str) -> list[Piece]:
    """Split `prompt` into pieces of equal weight, in order, without the marks; neighbours differ in weight.

    Weights are as written, so they may be outside PROMPT_WEIGHT.
    """
    marks = list(_MARK.finditer(prompt))
    openings, closings = _pairs(marks)
    texts: list[tuple[str, float]] = []
    rounds, squares = [1.0], 0
    for index, mark in enumerate(marks):
        kind = mark.lastgroup
        if kind == "open":
            rounds.append(_bounded(rounds[-1] * openings.get(index, _STEP)))
        elif kind == "less":
            squares += 1
        elif index not in closings:
            texts.append((mark[kind] if kind == "escaped" else mark[0], rounds[-1] * (1 / _STEP) ** squares))
        elif kind == "end_less":
            squares -= 1
        else:
            rounds.pop()
    return _merged(texts)


def _pairs(marks: list[re.Match[str]]) -> tuple[dict[int, float], set[int]]:
    """The factor of each closed round bracket by the index of its opening mark, and the indices of closing marks."""
    factors: dict[int, float] = {}
    closings: set[int] = set()
    rounds: list[int] = []
    squares = 0
    for index, mark in enumerate(marks):
        match mark.lastgroup:
            case "open":
                rounds.append(index)
            case "less":
                squares += 1
            case "end_less" if squares:
                squares -= 1
                closings.add(index)
            case ("close" | "number") as kind if rounds:
                factors[rounds.pop()] = _bounded(float(mark[kind])) if kind == "number" else _STEP
                closings.add(index)
    return factors, closings


def _bounded(weight: float) -> float:
    return max(-_BOUND, min(_BOUND, weight))


def _merged(texts: list[tuple[str, float]]) -> list[Piece]:
    runs: list[tuple[list[str], float]] = []
    for text, weight in texts:
        if runs and runs[-1][1] == weight:
            runs[-1][0].append(text)
        else:
            runs.append(([text], weight))
    return [Piece("".join(parts), weight) for parts, weight in runs]


def weigh(hidden: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply hidden states by their tokens' weights, then rescale them to their original mean.

    The rule of diffusers' community pipeline lpw_stable_diffusion, over the whole prompt. If the mean says nothing
    about the magnitude, because the states cancel each other out (a text encoder without a trained bias) or the factor
    would be outside 1/10 to 10, they are not rescaled; the rule would amplify rounding errors or flip signs.

    Args:
        hidden: FLOAT32 [tokens, width].
        weights: FLOAT32 [tokens], within PROMPT_WEIGHT.

    Returns:
        FLOAT32 [tokens, width]; `hidden` itself if every weight is 1.
    """
    if (weights == 1).all():
        return hidden
    weighted: NDArray[np.float32] = hidden * weights[:, None]
    before, after = hidden.mean(dtype=np.float64), weighted.mean(dtype=np.float64)
    if min(abs(before), abs(after)) < _NO_MEAN * np.abs(hidden).mean(dtype=np.float64):
        return weighted
    factor = before / after
    return weighted * np.float32(factor) if 1 / PROMPT_WEIGHT.maximum <= factor <= PROMPT_WEIGHT.maximum else weighted
