"""Weights and long prompts: the mesh's picture is the one that diffusers makes of the embeddings which the rules give.

The rules are written here a second time, in torch, over a prompt that is given in pieces.
"""

from typing import Any

import httpx2
import pytest
import torch

from tests.parity.matrix import edges
from tests.parity.reference import MEAN, MOST, Asked, Reference, Steered, difference
from tests.rigs.mesh import DEMO_WEIGHTS, picture

LONG = "a red star on a green background, " * 12
#: What the caller writes -> the same in pieces.
PROMPTS: dict[str, list[tuple[str, float]]] = {
    "a (red:1.4) star on a [green] background": [
        ("a ", 1.0),
        ("red", 1.4),
        (" star on a ", 1.0),
        ("green", 1 / 1.1),
        (" background", 1.0),
    ],
    "a ((red) star:0.8) \\(on\\) a green background": [
        ("a ", 1.0),
        ("red", 0.8 * 1.1),
        (" star", 0.8),
        (" (on) a green background", 1.0),
    ],
    LONG: [(LONG, 1.0)],
    f"({LONG}:1.2) and a (blue ring:0.5)": [(LONG, 1.2), (" and a ", 1.0), ("blue ring", 0.5)],
}


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(DEMO_WEIGHTS)


def embedded(pipeline: Any, pieces: list[tuple[str, float]], chunks: int) -> torch.Tensor:
    """FLOAT32 [1, 77 * chunks, width]: chunks of 75 words' tokens, weighted, with the mean they had before."""
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    ids: list[int] = []
    weights: list[float] = []
    for text, weight in pieces:
        words = tokenizer(text, add_special_tokens=False).input_ids
        ids += words
        weights += [weight] * len(words)
    hidden, factors = [], []
    for chunk in range(chunks):
        part, scale = ids[chunk * 75 : chunk * 75 + 75], weights[chunk * 75 : chunk * 75 + 75]
        padding = 75 - len(part)
        row = [tokenizer.bos_token_id, *part, tokenizer.eos_token_id, *[tokenizer.pad_token_id] * padding]
        with torch.no_grad():
            hidden.append(encoder(torch.tensor([row])).last_hidden_state)
        factors += [1.0, *scale, 1.0, *[1.0] * padding]
    plain = torch.cat(hidden, dim=1)
    weighted = plain * torch.tensor(factors)[None, :, None]
    return weighted * (plain.mean() / weighted.mean())


def chunks_of(pipeline: Any, pieces: list[tuple[str, float]]) -> int:
    words = sum(len(pipeline.tokenizer(text, add_special_tokens=False).input_ids) for text, _ in pieces)
    return max(1, -(-words // 75))


@pytest.mark.parametrize("prompt", PROMPTS, ids=["weights", "nested", "long", "long and weighted"])
def test_weights_and_chunks_are_what_the_rules_give(client: httpx2.Client, reference: Reference, prompt: str) -> None:
    asked = Asked("UniPCMultistepScheduler", prompt=prompt, controls=(Steered("canny", edges()),))
    ours = picture(client, asked.request("demo") | {"prompt_weighting": True})
    pipeline = reference.plain()
    chunks = chunks_of(pipeline, PROMPTS[prompt])
    assert chunks == (1 if len(prompt) < 100 else 2)
    positive = embedded(pipeline, PROMPTS[prompt], chunks)
    negative = embedded(pipeline, [(asked.negative_prompt, 1.0)], chunks)
    theirs = reference.picture(asked, embeddings=(positive, negative))
    most, mean = difference(ours, theirs)
    assert most <= MOST
    assert mean < MEAN
    assert difference(ours, picture(client, asked.request("demo")))[0] > MOST
