"""What Prepare answers besides embeddings and hints: their messages, the vector of a text, and which rows there are."""

import numpy as np

from controlmesh.v1 import preprocess_pb2, types_pb2
from families.limits import DEFAULT_END, DEFAULT_WEIGHT
from families.manifest import Manifest
from families.table import family_of
from mesh.tensors import to_message
from preprocess_svc.hints import MadeHint
from preprocess_svc.text import Encoded


def has_negative(request: preprocess_pb2.PrepareRequest, model: Manifest) -> bool:
    """Whether the denoiser reads a negative row beside the positive one."""
    if family_of(model).true_guidance:
        return request.true_guidance
    return request.guidance and not model.distilled


def unread(request: preprocess_pb2.PrepareRequest, model: Manifest) -> tuple[str, ...]:
    """A note if a negative prompt is of no use."""
    if not request.negative_prompt.strip() or has_negative(request, model):
        return ()
    if family_of(model).true_guidance:
        return (f"negative_prompt was not used: model {model.name} reads one with true_guidance_scale above 1",)
    return (f"negative_prompt was not used: model {model.name} needs none",) if model.distilled else ()


def hint_message(control: types_pb2.Control, made: MadeHint, posterior: types_pb2.Posterior | None) -> types_pb2.Hint:
    """The message of a hint: its pixels, or in their place what the VAE made of them."""
    return types_pb2.Hint(
        kind=control.kind,
        pixels=to_message(made.pixels.transpose(2, 0, 1)) if posterior is None else None,
        posterior=posterior,
        weight=control.weight if control.HasField("weight") else DEFAULT_WEIGHT,
        start=control.start,
        end=control.end if control.HasField("end") else DEFAULT_END,
    )


def vector_message(
    encoded: Encoded, model: Manifest, request: preprocess_pb2.PrepareRequest, size: tuple[int, int]
) -> types_pb2.Tensor | None:
    """What the model reads besides tokens; None if it reads nothing else."""
    if model.vector is None or encoded.pooled is None:
        return None
    if not model.vector.sizes:
        return to_message(encoded.pooled)
    width, height = size
    original = (request.original_height or height, request.original_width or width)
    sizes = np.array([*original, request.crop_top, request.crop_left, height, width], np.float32)
    return to_message(np.concatenate([encoded.pooled, np.tile(sizes, (len(encoded.pooled), 1))], axis=1))
