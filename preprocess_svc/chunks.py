"""Split a prompt's tokens into chunks of the text encoder's length, as many as the prompt needs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from families.facts import Encoder


@dataclass(frozen=True, slots=True)
class Tokens:
    """A prompt's token ids and the weight of each, without start, end and padding tokens."""

    ids: list[int]
    weights: list[float]

    def first(self, count: int) -> "Tokens":
        """The first `count` of them."""
        return Tokens(self.ids[:count], self.weights[:count])


def chunk_capacity(encoder: Encoder) -> int:
    """Tokens of text in one chunk: the encoder's length less a start and an end token, 75 for CLIP."""
    return encoder.length - (1 if encoder.bos is None else 2)


def chunks_needed(tokens: Tokens, encoder: Encoder) -> int:
    """Number of chunks for `tokens`; an empty prompt takes one."""
    return max(1, -(-len(tokens.ids) // chunk_capacity(encoder)))


def lay_out(tokens: Tokens, chunks: int, encoder: Encoder) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Lay out `tokens` in chunks, each with its own start token, end token and padding, as the tokenizer pads one.

    Args:
        tokens: of one prompt; those past the last chunk are dropped.
        chunks: how many to make; those past the prompt's end are empty.
        encoder: that reads them.

    Returns:
        Token ids INT64 [chunks, length] and weights FLOAT32 [chunks * length], 1 at start, end and padding tokens.
    """
    capacity = chunk_capacity(encoder)
    ids = np.full((chunks, encoder.length), encoder.pad, np.int64)
    weights = np.ones((chunks, encoder.length), np.float32)
    first = 0
    if encoder.bos is not None:
        ids[:, 0], first = encoder.bos, 1
    for chunk in range(chunks):
        words = slice(chunk * capacity, (chunk + 1) * capacity)
        count = len(tokens.ids[words])
        ids[chunk, first : first + count] = tokens.ids[words]
        weights[chunk, first : first + count] = tokens.weights[words]
        ids[chunk, first + count] = encoder.eos
    return ids, weights.reshape(-1)
