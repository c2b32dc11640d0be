"""Weights inside a prompt: their grammar, and what they do to text embeddings.

The grammar is that of AUTOMATIC1111's web UI, which callers write by habit:

    prompt   = { text | stronger | weighted | weaker } ;
    stronger = "(" prompt ")" ;                  (* times 1.1 *)
    weighted = "(" prompt ":" number ")" ;       (* times the number; spaces may stand around it *)
    weaker   = "[" prompt "]" ;                  (* divided by 1.1 *)
    text     = { any character but ( ) [ ] | "\\(" | "\\)" | "\\[" | "\\]" | "\\\\" } ;
    number   = [ "+" | "-" ] ( digits [ "." [ digits ] ] | "." digits ) ;

Nested weights multiply. No text is refused, as there: a bracket that nothing closes weighs all that follows it, one
that closes nothing is text, so is a colon without a number and a ")" behind it, and so is a backslash before anything
else (there it is lost). Round and square brackets are matched each among themselves and may overlap. As there, pieces
of equal weight are read as one: `(a)(b)` is `(ab)`.

Written here because no library fits: compel and its like run the text encoder themselves, in torch, and leniency, which
is half of the rules, is what parser generators are worst at. Parsing takes time linear in the prompt's length.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from families.limits import Range

PROMPT_WEIGHT = Range(0, 10)
"""Weights that the encoder's output is multiplied by; others are replaced by the nearest of these."""

_STEP = 1.1
# Far outside what is allowed, and finite, so that no product of nested weights becomes NaN.
_BOUND = 1e9
# Hidden states whose mean is below this share of their mean magnitude have no mean worth restoring.
_NO_MEAN = 1e-4

# Possessive where a hostile prompt could make the matcher go back and forth. The numbered groups are told by lastgroup.
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
    """Words of one weight; not empty."""

    text: str
    weight: float


def parse(prompt: str) -> list[Piece]:
    """`prompt` in pieces of equal weight, in order, without the marks; neighbours differ in weight.

    Weights are as written, so perhaps outside PROMPT_WEIGHT.
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
    """Factor of each closed round bracket by the index of its opening mark, and the indices of marks that close one."""
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
    """Hidden states times their tokens' weights, then scaled so that their mean is what it was.

    The rule of diffusers' community pipeline lpw_stable_diffusion, over the whole prompt. Where a mean says nothing of
    the size, because the states cancel each other (a text encoder without a trained bias) or the factor would lie
    outside 1/10 to 10, they are left unscaled; there the rule would amplify rounding errors or turn signs around.

    Args:
        hidden: FLOAT32 [tokens, width].
        weights: FLOAT32 [tokens], within PROMPT_WEIGHT.

    Returns:
        FLOAT32 [tokens, width]; `hidden` itself, bit by bit, where every weight is 1.
    """
    if (weights == 1).all():
        return hidden
    weighted: NDArray[np.float32] = hidden * weights[:, None]
    before, after = hidden.mean(dtype=np.float64), weighted.mean(dtype=np.float64)
    if min(abs(before), abs(after)) < _NO_MEAN * np.abs(hidden).mean(dtype=np.float64):
        return weighted
    factor = before / after
    return weighted * np.float32(factor) if 1 / PROMPT_WEIGHT.maximum <= factor <= PROMPT_WEIGHT.maximum else weighted
