"""The demo's text encoder: a small CLIPTextModel that learns to say what a caption describes, then is frozen.

Every padding token learns to answer every question about the caption, such as the colour of the circle. The denoiser's
attention then finds the whole description wherever it looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from demo.corpus import Example, token_ids
from demo.descent import autocast, descend
from demo.distributed import Crew
from demo.recipe import Schedule
from demo.scene import COLOURS, SHAPES, STYLES, Scene

WIDTH = 128
#: The answer to a question that does not apply: no second ground colour, or the shape does not occur.
ABSENT = len(COLOURS)
ANSWERS = len(COLOURS) + 1
QUESTIONS = 3 + len(SHAPES)
#: Three steps in four read only this many tokens, more than any caption has: it saves half of the time.
SHORT = 36


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A new model for `tokenizer`. Token embeddings start ten times as large as CLIP's, so that they separate early."""
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    with torch.no_grad():
        encoder.get_input_embeddings().weight.mul_(10)
    return encoder


def answers(scene: Scene) -> list[int]:
    """What a caption's reader should know, as class indices: ground, second ground, style, each shape's colour."""
    worn = {solid.shape: COLOURS.index(solid.colour) for solid in scene.solids}
    end = ABSENT if scene.ground_end is None else COLOURS.index(scene.ground_end)
    style = list(STYLES).index(scene.style)
    return [COLOURS.index(scene.ground), end, style, *(worn.get(shape, ABSENT) for shape in SHAPES)]


class Reader(nn.Module):
    """The encoder and one linear head on every hidden state: the answer to each question."""

    def __init__(self, encoder: CLIPTextModel) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(WIDTH, QUESTIONS * ANSWERS)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """int64 [n, t] -> logits, float32 [n, t, QUESTIONS, ANSWERS]."""
        with autocast():
            hidden = self.encoder(input_ids=tokens).last_hidden_state
        return self.head(hidden.float()).unflatten(-1, (QUESTIONS, ANSWERS))


def train_text_encoder(
    crew: Crew, tokenizer: CLIPTokenizer, chosen: Sequence[Example], schedule: Schedule
) -> tuple[Reader, list[float]]:
    """Train on the captions of `chosen`; return (reader, losses). A step asks one random padding token of a caption.
    A caption that leaves the ground out is asked for it all the same: the answer it cannot know costs a constant."""
    reader = Reader(build_text_encoder(tokenizer))
    ids, truth = token_ids(tokenizer, chosen), torch.tensor([answers(example.scene) for example in chosen])
    batch = schedule.batch // crew.size

    def loss_of_step(step: int) -> torch.Tensor:
        picked = torch.randint(len(ids), (batch,))
        tokens = ids[picked, torch.randint(ids.shape[1], (batch,))].long()
        tokens = tokens if step % 4 == 0 else tokens[:, :SHORT]
        asked = torch.multinomial(padding(tokens, tokenizer).float(), 1)[:, 0]
        logits = reader(tokens)[torch.arange(batch), asked]
        return functional.cross_entropy(logits.flatten(0, 1), truth[picked].flatten())

    return descend(crew, reader, schedule, loss_of_step)


def padding(tokens: torch.Tensor, tokenizer: CLIPTokenizer) -> torch.Tensor:
    """Mask of the end and padding places, bool like `tokens` [n, t]."""
    return tokens == tokenizer.eos_token_id


@torch.no_grad()
def reading_accuracy(reader: Reader, tokenizer: CLIPTokenizer, chosen: Sequence[Example]) -> float:
    """Share of right answers over all questions and padding places of one caption of every example."""
    tokens = token_ids(tokenizer, chosen)[:, 0].long()
    truth = torch.tensor([answers(example.scene) for example in chosen])
    right = reader(tokens).argmax(-1) == truth[:, None]
    return float(right[padding(tokens, tokenizer)].float().mean())


def load_text_encoder(folder: Path) -> CLIPTextModel:
    """A frozen text encoder in float32."""
    return CLIPTextModel.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
