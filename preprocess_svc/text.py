"""Turn prompts into text embeddings: CLIP tokens here, the encoder in Triton."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from families import graphs, limits
from families.manifest import Manifest, tokenizer_paths
from families.profiles import profile_of
from mesh.errors import InvalidInput
from mesh.soundness import not_finite, sound
from mesh.triton import Triton
from preprocess_svc.chunks import Tokens, chunk_capacity, chunks_needed, lay_out
from preprocess_svc.tags import note, without_tags
from preprocess_svc.weighting import PROMPT_WEIGHT, Piece, parse, weigh

_BROKEN = not_finite("the text embeddings", "the weights of the model's text encoder may be broken")


class TextEncoder:
    """One model's tokenizer and text encoder.

    Args:
        manifest: the model's card.
        repository: folder of the cards.
        triton: client of the model server.
    """

    def __init__(self, manifest: Manifest, repository: Path, triton: Triton) -> None:
        self._manifest = manifest
        self._triton = triton
        self._batch = profile_of(manifest).batch["text_encoder"]
        (self._encoder,) = manifest.encoders
        (path,) = tokenizer_paths(repository, manifest)
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def tokenize(self, field: str, text: str, weighting: bool) -> tuple[Tokens, list[str]]:
        """Tokenize one prompt without its tags, up to what the model reads; also returns notes on what was dropped.

        Args:
            field: the prompt's field, for the notes.
            text: the prompt.
            weighting: whether to parse weights and to use several chunks.
        """
        text, tags = without_tags(text)
        notes = [note(field, tags)] if tags else []
        pieces = parse(text) if weighting else [Piece(text, 1.0)]
        if not all(PROMPT_WEIGHT.holds(piece.weight) for piece in pieces):
            notes.append(f"weights in {field} must be {PROMPT_WEIGHT}; those outside were set to the nearest limit")
        tokens = Tokens([], [])
        encodings = self._tokenizer.encode_batch([piece.text for piece in pieces], add_special_tokens=False)
        for piece, encoding in zip(pieces, encodings, strict=True):
            tokens.ids.extend(encoding.ids)
            tokens.weights.extend([PROMPT_WEIGHT.clamp(piece.weight)] * len(encoding.ids))
        capacity = chunk_capacity(self._encoder) * (limits.PROMPT_CHUNKS if weighting else 1)
        if dropped := max(0, len(tokens.ids) - capacity):
            notes.append(
                f"{field} has {capacity + dropped} tokens; the model reads {capacity}: the last {dropped} were dropped"
            )
        return tokens.first(capacity), notes

    async def encode(
        self, prompts: Sequence[tuple[str, str]], clip_skip: int = 0, weighting: bool = True
    ) -> tuple[NDArray[np.float32], list[str]]:
        """Encode several prompts, all in one call if they fit into a batch.

        Args:
            prompts: (field's name, text) pairs.
            clip_skip: how many of the encoder's last layers to skip, 0 to 8, fewer than it has.
            weighting: True parses weights (`weighting.py`) and uses up to PROMPT_CHUNKS chunks; False takes the text
                literally and uses one chunk.

        Returns:
            FLOAT32 [prompts, tokens, width] after the final layer norm, as diffusers' `encode_prompt`, and notes on
            prompts that were too long or had weights out of range. `tokens` is the text encoder's length times the
            chunks of the longest prompt; the others end in empty chunks.

        Raises:
            InvalidInput: `clip_skip` is out of range or skips every layer.
            InternalError: the encoder's answer is not finite.
        """
        facts, encoder = self._manifest, self._encoder
        if not limits.CLIP_SKIP.holds(clip_skip) or clip_skip >= encoder.layers:
            most = min(int(limits.CLIP_SKIP.maximum), encoder.layers - 1)
            raise InvalidInput(f"clip_skip must be 0 to {most} for this model, not {clip_skip}", field="clip_skip")
        read, notes = [], []
        for field, text in prompts:
            # Off the event loop: the longest allowed prompt, full of weights, takes tens of milliseconds.
            tokens, remarks = await asyncio.to_thread(self.tokenize, field, text, weighting)
            read.append(tokens)
            notes += remarks
        chunks = max(chunks_needed(tokens, encoder) for tokens in read)
        rows = [lay_out(tokens, chunks, encoder) for tokens in read]
        hidden = await self._hidden(np.concatenate([ids for ids, _ in rows]), clip_skip)
        whole = hidden.reshape(len(prompts), chunks * facts.text_tokens, facts.text_width)
        return np.stack([weigh(states, weights) for states, (_, weights) in zip(whole, rows, strict=True)]), notes

    async def _hidden(self, ids: NDArray[np.int64], clip_skip: int) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(ids), self._batch):
            part = ids[start : start + self._batch]
            inputs: dict[str, NDArray[np.generic]] = {
                "input_ids": part,
                "layers_skipped": np.full((len(part), 1), clip_skip, np.int64),
            }
            ask = partial(self._triton.infer, graphs.text_encoder(self._manifest.name), inputs, ["hidden"])
            outputs = await sound(ask, _BROKEN)
            parts.append(outputs["hidden"].astype(np.float32, copy=False))
        return np.concatenate(parts)
