"""Words -> text embeddings: CLIP tokens here, the encoder in Triton."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from families import graphs, limits
from families.manifest import Manifest, tokenizer_path
from mesh.errors import InvalidInput
from mesh.triton import Triton


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
        self._tokenizer = Tokenizer.from_file(str(tokenizer_path(repository, manifest.name)))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def tokenize(self, text: str) -> tuple[list[int], int]:
        """Token ids of `text`, padded to the model's length as CLIPTokenizer does, and how many tokens were dropped."""
        facts = self._manifest
        words = self._tokenizer.encode(text, add_special_tokens=False).ids
        room = facts.text_tokens - 2
        ids = [facts.bos_token_id, *words[:room], facts.eos_token_id]
        return ids + [facts.pad_token_id] * (facts.text_tokens - len(ids)), max(0, len(words) - room)

    async def encode(
        self, prompts: Sequence[tuple[str, str]], clip_skip: int = 0
    ) -> tuple[NDArray[np.generic], list[str]]:
        """Text embeddings of several prompts in one call.

        Args:
            prompts: (field's name, text) pairs.
            clip_skip: last layers of the encoder to leave out, 0 to 8, fewer than it has.

        Returns:
            FLOAT32 [prompts, tokens, width] after the final layer norm, as diffusers' `encode_prompt`, and one note for
            each prompt that was too long.

        Raises:
            InvalidInput: a prompt is too long or can't be encoded, or more layers are skipped than there are.
        """
        if not limits.CLIP_SKIP.holds(clip_skip) or clip_skip >= self._manifest.text_layers:
            most = min(int(limits.CLIP_SKIP.maximum), self._manifest.text_layers - 1)
            raise InvalidInput(f"clip_skip must be 0 to {most} for this model, not {clip_skip}", field="clip_skip")
        rows, notes = [], []
        for field, text in prompts:
            if len(text) > limits.PROMPT_CHARACTERS:
                raise InvalidInput(
                    f"{field} has {len(text)} characters; at most {limits.PROMPT_CHARACTERS} are taken", field=field
                )
            ids, dropped = self.tokenize(text)
            rows.append(ids)
            if dropped:
                room = self._manifest.text_tokens - 2
                notes.append(
                    f"{field} has {room + dropped} tokens; the model reads {room}, the last {dropped} were dropped"
                )
        inputs: dict[str, NDArray[np.generic]] = {
            "input_ids": np.array(rows, np.int64),
            "layers_skipped": np.full((len(rows), 1), clip_skip, np.int64),
        }
        outputs = await self._triton.infer(graphs.text_encoder(self._manifest.name), inputs, ["hidden"])
        return outputs["hidden"], notes
