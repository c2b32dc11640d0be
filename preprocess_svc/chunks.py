"""Split a prompt's tokens into chunks of the text encoder's length, as many as the prompt needs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from families.manifest import ModelFacts


@dataclass(frozen=True, slots=True)
class Tokens:
    """A prompt's token ids and the weight of each, without start, end and padding tokens."""

    ids: list[int]
    weights: list[float]

    def first(self, count: int) -> "Tokens":
        """The first `count` of them."""
        return Tokens(self.ids[:count], self.weights[:count])


def chunk_capacity(facts: ModelFacts) -> int:
    """Tokens of text in one chunk: the encoder's length less a start and an end token, 75 for CLIP."""
    return facts.text_tokens - 2


def chunks_needed(tokens: Tokens, facts: ModelFacts) -> int:
    """Number of chunks for `tokens`; an empty prompt takes one."""
    return max(1, -(-len(tokens.ids) // chunk_capacity(facts)))


def lay_out(tokens: Tokens, chunks: int, facts: ModelFacts) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Lay out `tokens` in chunks, each with its own start token, end token and padding, as CLIPTokenizer pads one.

    Args:
        tokens: of one prompt; those past the last chunk are dropped.
        chunks: how many to make; those past the prompt's end are empty.
        facts: of the model.

    Returns:
        Token ids INT64 [chunks, text_tokens] and weights FLOAT32 [chunks * text_tokens], 1 at start, end and padding
        tokens.
    """
    capacity = chunk_capacity(facts)
    ids = np.full((chunks, facts.text_tokens), facts.pad_token_id, np.int64)
    weights = np.ones((chunks, facts.text_tokens), np.float32)
    ids[:, 0] = facts.bos_token_id
    for chunk in range(chunks):
        words = slice(chunk * capacity, (chunk + 1) * capacity)
        count = len(tokens.ids[words])
        ids[chunk, 1 : 1 + count] = tokens.ids[words]
        weights[chunk, 1 : 1 + count] = tokens.weights[words]
        ids[chunk, 1 + count] = facts.eos_token_id
    return ids, weights.reshape(-1)
