"""Make the smallest inputs that a graph accepts, from its configuration and its card."""

from collections.abc import Iterable, Iterator
from math import prod

import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2

from families.annotators import AnnotatorCard, smallest_side
from families.facts import ModelFacts
from families.graphs import tensors_of
from families.soundness import is_flat, rough_latents, shows
from families.tensors import stride_of

# Latent cells per side, unless a model's deepest residual needs more; also the size of every other free dimension.
EDGE = 8

_BYTES = {
    "TYPE_BOOL": 1, "TYPE_UINT8": 1, "TYPE_INT8": 1, "TYPE_INT32": 4, "TYPE_INT64": 8,
    "TYPE_FP16": 2, "TYPE_FP32": 4, "TYPE_FP64": 8,
}  # fmt: skip

# The input and the output of a VAE's decoder (families.graphs).
_LATENTS, _PICTURE = "latents", "image"

Dims = tuple[int, ...]
Card = ModelFacts | AnnotatorCard


def card_of(name: str, cards: Iterable[Card]) -> Card | None:
    """The card to which the graph `name` belongs: the annotator that lists it, or the model with the longest name that
    is its prefix."""
    owners = []
    for card in cards:
        if isinstance(card, AnnotatorCard):
            if name in card.graphs:
                return card
        elif name.startswith(f"{card.name}_"):
            owners.append(card)
    return max(owners, key=lambda card: len(card.name), default=None)


def input_dims(tensor: model_config_pb2.ModelInput, card: Card | None, graph: str) -> Dims:
    """The sizes of one input of `graph`, without the batch dimension.

    A free dimension (-1) is what the card's declaration of the graph says at the smallest latents, else EDGE.
    """
    dims = tuple(tensor.dims)
    if isinstance(card, AnnotatorCard):
        return tuple(smallest_side(card) if size == -1 else size for size in dims)
    declared = {one.name: one for one in tensors_of(card, graph)} if card is not None else {}
    if card is not None and tensor.name in declared and declared[tensor.name].free == dims:
        edge = max(EDGE, *(stride_of(dim) for residual in card.residuals for dim in residual), 1)
        return declared[tensor.name].sized(card.dimensions(height=edge, width=edge))
    return tuple(EDGE if size == -1 else size for size in dims)


def canary_request(config: model_config_pb2.ModelConfig, card: Card | None) -> service_pb2.ModelInferRequest:
    """A request with one row of zeros for every input, for all outputs; latents have content, so that a picture of
    nothing is seen.

    Raises ValueError for an input type without a known size (strings).
    """
    request = service_pb2.ModelInferRequest(model_name=config.name)
    for tensor in config.input:
        kind = model_config_pb2.DataType.Name(tensor.data_type)
        if kind not in _BYTES:
            raise ValueError(f"input {tensor.name!r} of {config.name!r} is {kind}, which the canary can't make")
        shape = ((1,) if config.max_batch_size else ()) + input_dims(tensor, card, config.name)
        request.inputs.add(name=tensor.name, datatype=kind.removeprefix("TYPE_"), shape=shape)
        if tensor.name == _LATENTS and kind == "TYPE_FP32" and len(shape) == 4:
            request.raw_input_contents.append(np.resize(rough_latents(shape[1], EDGE), shape).tobytes())
        else:
            request.raw_input_contents.append(bytes(prod(shape) * _BYTES[kind]))
    for tensor in config.output:
        request.outputs.add(name=tensor.name)
    return request


def faults(config: model_config_pb2.ModelConfig, response: service_pb2.ModelInferResponse) -> str:
    """What is wrong with an answer; empty if every output is present, has the right size, is finite and, if it is the
    picture of a VAE, shows something."""
    return incomplete(config, response) or unsound(config, response)


def incomplete(config: model_config_pb2.ModelConfig, response: service_pb2.ModelInferResponse) -> str:
    """Which output of an answer is missing or has another size than its shape; empty if none."""
    for name, kind, shape, content in _outputs(config, response):
        if content is None:
            return f"output {name!r} is missing"
        if kind in _BYTES and len(content) != prod(shape) * _BYTES[kind]:
            return f"output {name!r} has {len(content)} bytes for shape {list(shape)}"
    return ""


def unsound(config: model_config_pb2.ModelConfig, response: service_pb2.ModelInferResponse) -> str:
    """Which output of a complete answer is not finite or shows nothing; empty if none. No restart mends that."""
    for name, kind, shape, content in _outputs(config, response):
        if kind == "TYPE_FP32" and not np.isfinite(np.frombuffer(content or b"", np.float32)).all():
            return f"output {name!r} is not finite"
        picture = decodes(config) and (name, kind) == (_PICTURE, "TYPE_UINT8") and len(shape) == 4
        if picture and is_flat(np.frombuffer(content or b"", np.uint8).reshape(shape)[0]):
            return f"output {name!r} shows nothing: one flat colour for latents with content"
        if picture and not shows(np.frombuffer(content or b"", np.uint8).reshape(shape)[0]):
            return f"output {name!r} shows nothing of one colour, or next to nothing, for latents with content"
    return ""


def decodes(config: model_config_pb2.ModelConfig) -> bool:
    """Whether a graph makes pictures of latents. An answer in bytes may be a picture of nothing and yet succeed."""
    return any(tensor.name == _LATENTS for tensor in config.input)


def _outputs(
    config: model_config_pb2.ModelConfig, response: service_pb2.ModelInferResponse
) -> Iterator[tuple[str, str, Dims, bytes | None]]:
    """Name, type, shape and bytes of every output that `config` has; None for the bytes of one that is missing."""
    found = dict(zip((o.name for o in response.outputs), response.raw_output_contents, strict=False))
    shapes = {output.name: tuple(output.shape) for output in response.outputs}
    for tensor in config.output:
        kind = model_config_pb2.DataType.Name(tensor.data_type)
        yield tensor.name, kind, shapes.get(tensor.name, ()), found.get(tensor.name)
