"""Turn prompts into text embeddings: tokens here, the encoders in Triton."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from families import graphs, limits
from families.facts import Encoder
from families.manifest import Manifest, tokenizer_paths
from families.profiles import profile_of
from families.table import family_of
from mesh.errors import InvalidInput
from mesh.soundness import not_finite, sound
from mesh.triton import Triton
from preprocess_svc.chunks import Tokens, chunk_capacity, chunks_needed, lay_out
from preprocess_svc.weighting import PROMPT_WEIGHT, Piece, parse, weigh

_BROKEN = not_finite("the text embeddings", "the weights of the model's text encoder may be broken")
NEGATIVE = "negative_prompt"


@dataclass(frozen=True, slots=True)
class Encoded:
    """Prompts as a denoiser reads them.

    text: FLOAT32 [prompts, tokens, width], where `tokens` is the text encoder's length times the chunks of the longest
    prompt, and the others end in empty chunks; pooled: FLOAT32 [prompts, channels], the first chunk of each as a whole,
    None for models that don't read it; notes: on prompts that were too long or had weights out of range.
    """

    text: NDArray[np.float32]
    pooled: NDArray[np.float32] | None
    notes: list[str]


class TextEncoder:
    """One model's tokenizers and text encoders.

    Args:
        manifest: the model's card.
        repository: folder of the cards.
        triton: client of the model server.
    """

    def __init__(self, manifest: Manifest, repository: Path, triton: Triton) -> None:
        self._manifest = manifest
        self._family = family_of(manifest)
        self._triton = triton
        self._batch = profile_of(manifest).batch["text_encoder"]
        self._encoders = [
            (encoder, _tokenizer(path))
            for encoder, path in zip(manifest.encoders, tokenizer_paths(repository, manifest), strict=True)
        ]

    def tokenize(self, field: str, text: str, weighting: bool) -> tuple[list[Tokens], list[str]]:
        """Tokenize one prompt for each encoder, up to what it reads; also notes on what was dropped.

        Args:
            field: the prompt's field, for the notes.
            text: the prompt, without tags (mesh.prompt_tags).
            weighting: whether to parse weights and to use several chunks.
        """
        notes = []
        pieces = parse(text) if weighting else [Piece(text, 1.0)]
        if not all(PROMPT_WEIGHT.holds(piece.weight) for piece in pieces):
            notes.append(f"weights in {field} must be {PROMPT_WEIGHT}; those outside were set to the nearest limit")
        read = []
        for encoder, tokenizer in self._encoders:
            tokens = Tokens([], [])
            encodings = tokenizer.encode_batch([piece.text for piece in pieces], add_special_tokens=False)
            for piece, encoding in zip(pieces, encodings, strict=True):
                tokens.ids.extend(encoding.ids)
                tokens.weights.extend([PROMPT_WEIGHT.clamp(piece.weight)] * len(encoding.ids))
            chunks = limits.PROMPT_CHUNKS if weighting and self._family.chunked else 1
            capacity = chunk_capacity(encoder) * chunks
            # What an encoder drops that only says what the text is as a whole is nobody's loss.
            if (dropped := max(0, len(tokens.ids) - capacity)) and encoder.width:
                notes.append(
                    f"{field} has {capacity + dropped} tokens; the model reads {capacity}: the last {dropped} were "
                    "dropped"
                )
            read.append(tokens.first(capacity))
        return read, list(dict.fromkeys(notes))

    async def encode(self, prompts: Sequence[tuple[str, str]], clip_skip: int = 0, weighting: bool = True) -> Encoded:
        """Encode several prompts, all in one call if they fit into a batch, as diffusers' `encode_prompt`.

        Args:
            prompts: (field's name, text without tags) pairs. An empty NEGATIVE is zeros where the model's card says so.
            clip_skip: how many of the encoders' last layers to skip, 0 to 8, fewer than they have.
            weighting: True parses weights (`weighting.py`) and uses up to PROMPT_CHUNKS chunks; False takes the text
                literally and uses one chunk.

        Raises:
            InvalidInput: `clip_skip` is out of range or skips every layer.
            InternalError: the encoder's answer is not finite.
        """
        facts = self._manifest
        layers = min(encoder.layers for encoder, _ in self._encoders)
        if self._family.skips == "none" and clip_skip:
            raise InvalidInput(
                f"clip_skip is not supported by model {facts.name!r}: remove it or send 0", field="clip_skip"
            )
        if not limits.CLIP_SKIP.holds(clip_skip) or clip_skip >= layers:
            most = min(int(limits.CLIP_SKIP.maximum), layers - 1)
            raise InvalidInput(f"clip_skip must be 0 to {most} for this model, not {clip_skip}", field="clip_skip")
        read, notes = [], []
        for field, sent in prompts:
            # Off the event loop: the longest allowed prompt, full of weights, takes tens of milliseconds.
            tokens, remarks = await asyncio.to_thread(self.tokenize, field, sent, weighting)
            read.append(tokens)
            notes += remarks
        encoders = [encoder for encoder, _ in self._encoders]
        chunks = (
            1
            if not self._family.chunked
            else max(
                chunks_needed(tokens, encoder)
                for of_prompt in read
                for tokens, encoder in zip(of_prompt, encoders, strict=True)
            )
        )
        rows = [
            [lay_out(tokens, chunks, encoder) for tokens, encoder in zip(of_prompt, encoders, strict=True)]
            for of_prompt in read
        ]
        ids = [np.concatenate([row[place][0] for row in rows]) for place in range(len(encoders))]
        positive_only = self._family.skips == "positive"
        skipped = [0 if positive_only and field == NEGATIVE else clip_skip for field, _ in prompts]
        hidden, pooled = await self._hidden(ids, np.repeat(np.array(skipped, np.int64), chunks))
        whole = hidden.reshape(len(prompts), chunks * facts.text_tokens, facts.text_width)
        text = np.stack([_weighed(states, row, encoders) for states, row in zip(whole, rows, strict=True)])
        firsts = None if pooled is None else pooled[::chunks].copy()
        if facts.zero_negative:
            for place, (field, words) in enumerate(prompts):
                if field == NEGATIVE and not words.strip():
                    text[place] = 0
                    if firsts is not None:
                        firsts[place] = 0
        return Encoded(text, firsts, notes)

    async def _hidden(
        self, ids: Sequence[NDArray[np.int64]], skipped: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Hidden states and pooled ones (None without) of rows of token ids, one array an encoder."""
        graph = graphs.part(self._manifest, graphs.text_encoder(self._manifest.name))
        names = [tensor.name for tensor in graph.outputs]
        parts: list[dict[str, NDArray[np.generic]]] = []
        for start in range(0, len(skipped), self._batch):
            rows = slice(start, start + self._batch)
            given = [*(part[rows] for part in ids), skipped[rows, None]]
            # The last one is no input where layers can't be skipped.
            inputs: dict[str, NDArray[np.generic]] = dict(zip(graph.input_names, given, strict=False))
            parts.append(await sound(partial(self._triton.infer, graph.graph, inputs, names), _BROKEN))
        made = [np.concatenate([part[name] for part in parts]).astype(np.float32, copy=False) for name in names]
        return made[0], made[1] if len(made) > 1 else None


def _tokenizer(path: Path) -> Tokenizer:
    read = Tokenizer.from_file(str(path))
    read.no_truncation()
    read.no_padding()
    return read


def _weighed(
    states: NDArray[np.float32],
    row: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]],
    encoders: Sequence[Encoder],
) -> NDArray[np.float32]:
    """A prompt's hidden states [tokens, width], those of each encoder weighed for themselves."""
    weights = [weights for (_, weights), encoder in zip(row, encoders, strict=True) if encoder.width]
    edges = np.cumsum([encoder.width for encoder in encoders if encoder.width])[:-1]
    parts = np.split(states, edges, axis=1)
    return np.concatenate([weigh(part, of_part) for part, of_part in zip(parts, weights, strict=True)], axis=1)
