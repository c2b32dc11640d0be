"""Names, tensors and Triton configurations of a model's graphs.

What every service shares: the name of each graph, which tensors go in and out, and how ensembles connect the graphs.
Rows are requests; R is the 1 or 2 text rows of a request (negative, positive); h and w are latent cells.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2 as triton

from families.manifest import ModelFacts
from families.profiles import CPU, Profile, Runtime, profile_of

ANY = -1
"""A dimension whose size depends on the request."""


# --- names ------------------------------------------------------------------------------------------------------


def text_encoder(model: str) -> str:
    return f"{model}_text_encoder"


def controlnet(model: str, kind: str) -> str:
    return f"{model}_controlnet_{kind}"


def no_control(model: str) -> str:
    return f"{model}_no_control"


def add_residuals(model: str) -> str:
    return f"{model}_add_residuals"


def unet(model: str) -> str:
    return f"{model}_unet"


def vae_decoder(model: str) -> str:
    return f"{model}_vae_decoder"


def vae_encoder(model: str) -> str:
    return f"{model}_vae_encoder"


def denoise(model: str, kinds: Sequence[str] = ()) -> str:
    """Name of the ensemble that runs one denoising step with these controls; `hint_i` belongs to the i-th sorted kind.

    A kind may occur more than once (two canny maps, each with its own scale).
    """
    return "__".join((f"{model}_denoise", *sorted(kinds)))


def kinds_of(model: str, name: str) -> tuple[str, ...] | None:
    """The controls of the ensemble `name`, the inverse of `denoise`; None if it is not an ensemble of `model`."""
    ensemble, *kinds = name.split("__")
    return tuple(kinds) if ensemble == denoise(model) else None


def residual(index: int) -> str:
    return f"residual_{index}"


def hint(index: int) -> str:
    return f"hint_{index}"


def scale(index: int) -> str:
    return f"scale_{index}"


def graph_names(facts: ModelFacts) -> tuple[str, ...]:
    """Every graph that has a `model.onnx`, sorted."""
    return tuple(sorted(part.graph for part in _parts(facts)))


def ensemble_kinds(facts: ModelFacts) -> tuple[tuple[str, ...], ...]:
    """The combinations of controls whose ensembles are on disk: none, each kind, each pair of different kinds.

    Any other combination is registered at run time from `denoise_config`.
    """
    return tuple(kinds for count in (0, 1, 2) for kinds in itertools.combinations(facts.controls, count))


def ensemble_names(facts: ModelFacts) -> tuple[str, ...]:
    """Names of the ensembles on disk, sorted."""
    return tuple(sorted(denoise(facts.name, kinds) for kinds in ensemble_kinds(facts)))


def repository_names(facts: ModelFacts) -> tuple[str, ...]:
    """Every folder of the model in the repository that Triton can load: graphs, then the ensembles that use them."""
    return (*graph_names(facts), *ensemble_names(facts))


# --- tensors ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a graph. `dims` exclude the leading batch dimension; ANY depends on the request."""

    name: str
    dtype: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A graph with its own `model.onnx`, as Triton sees it."""

    graph: str
    role: str
    """Its key in the profile's tables: text_encoder, denoiser, vae or annotator."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def _latents(facts: ModelFacts, name: str) -> Tensor:
    return Tensor(name, "FP32", (facts.latent_channels, ANY, ANY))


def _text(facts: ModelFacts) -> Tensor:
    """The number of tokens depends on the request: a long prompt takes several lengths of the text encoder."""
    return Tensor("text", "FP32", (ANY, ANY, facts.text_width))


MASKED_CONTROLS = frozenset({"inpaint"})
"""Kinds whose ControlNet reads -1 wherever the picture is to be repainted (Zhang's ControlNet 1.1 inpaint). Bytes can't
represent -1, so their hint has a fourth channel, 255 there, and the graph combines the two."""

TIMESTEP = Tensor("timestep", "FP32", (1,))
GUIDANCE = Tensor("guidance", "FP32", (1,))


def hint_channels(kind: str) -> int:
    """Channels of a control's hint: RGB, and a mask for the kinds that repaint."""
    return 4 if kind in MASKED_CONTROLS else 3


def _hint(name: str, kind: str) -> Tensor:
    return Tensor(name, "UINT8", (hint_channels(kind), ANY, ANY))


def _scale(facts: ModelFacts, name: str) -> Tensor:
    return Tensor(name, "FP32", (ANY, len(facts.residuals)))


def residual_tensors(facts: ModelFacts, prefix: str = "residual") -> tuple[Tensor, ...]:
    """`<prefix>_i` FP32 [R, C_i, h_i, w_i], in diffusers' order; the last one is the mid block's."""
    return tuple(
        Tensor(f"{prefix}_{index}", "FP32", (ANY, channels, ANY, ANY))
        for index, (channels, _) in enumerate(facts.residuals)
    )


def _parts(facts: ModelFacts) -> tuple[Part, ...]:
    """The tensors of every sd15 graph, one row each."""
    m = facts.name
    sample, text, residuals = _latents(facts, "sample"), _text(facts), residual_tensors(facts)
    picture = Tensor("image", "UINT8", (ANY, ANY, 3))
    tokens = Tensor("input_ids", "INT64", (facts.text_tokens,))
    skipped = Tensor("layers_skipped", "INT64", (1,))
    hidden = Tensor("hidden", "FP32", (facts.text_tokens, facts.text_width))
    addends = (*residual_tensors(facts, "a"), *residual_tensors(facts, "b"))
    steering = (sample, TIMESTEP, text)
    return (
        Part(text_encoder(m), "text_encoder", (tokens, skipped), (hidden,)),
        *(
            Part(controlnet(m, kind), "denoiser", (*steering, _hint("hint", kind), _scale(facts, "scale")), residuals)
            for kind in facts.controls
        ),
        Part(no_control(m), "denoiser", (sample, text), residuals),
        Part(add_residuals(m), "denoiser", addends, residuals),
        Part(
            unet(m),
            "denoiser",
            (sample, TIMESTEP, text, GUIDANCE, *residuals),
            (_latents(facts, "prediction"),),
        ),
        Part(vae_decoder(m), "vae", (_latents(facts, "latents"),), (picture,)),
        Part(vae_encoder(m), "vae", (picture,), (_latents(facts, "mean"), _latents(facts, "deviation"))),
    )


def part(facts: ModelFacts, graph: str) -> Part:
    """The tensors of one graph by its full name. Raises KeyError if the model has no such graph."""
    return {row.graph: row for row in _parts(facts)}[graph]


# --- configurations ---------------------------------------------------------------------------------------------


def graph_config(facts: ModelFacts, graph: str, runtime: Runtime = CPU) -> triton.ModelConfig:
    """`config.pbtxt` of a graph that has a `model.onnx`. Raises KeyError if the model has no such graph."""
    return part_config(part(facts, graph), profile_of(facts), runtime)


def part_config(row: Part, profile: Profile, runtime: Runtime = CPU) -> triton.ModelConfig:
    """`config.pbtxt` of any graph that has a `model.onnx`."""
    config = _blank(row.graph, row.inputs, row.outputs, profile.batch[row.role])
    config.backend = "onnxruntime"
    config.default_model_filename = "model.onnx"
    config.instance_group.add(count=1, kind=triton.ModelInstanceGroup.Kind.Value(runtime.instance_kind))
    _batching(config, profile, row.role)
    runtime.apply(config, row.role, profile)
    return config


def denoise_config(facts: ModelFacts, kinds: Sequence[str] = ()) -> triton.ModelConfig:
    """`config.pbtxt` of the ensemble `denoise(facts.name, kinds)`: ControlNets, the sum of their residuals, the UNet.

    Inputs: sample, timestep, text, guidance, then hint_i and scale_i for the i-th kind in sorted order.
    Output: prediction. Kinds may repeat; without any the step has no control.
    Raises ValueError for a kind the model has no ControlNet for.
    """
    kinds = tuple(sorted(kinds))
    unknown = sorted(set(kinds) - set(facts.controls))
    if unknown:
        raise ValueError(f"model {facts.name!r} has no ControlNet for {unknown}; it has {list(facts.controls)}")
    m, count = facts.name, len(facts.residuals)
    shared = (_latents(facts, "sample"), TIMESTEP, _text(facts), GUIDANCE)
    hints = tuple(t for i, kind in enumerate(kinds) for t in (_hint(hint(i), kind), _scale(facts, scale(i))))
    config = _blank(
        denoise(m, kinds),
        shared + hints,
        (_latents(facts, "prediction"),),
        profile_of(facts).batch["denoiser"],
    )
    config.platform = "ensemble"
    for index, kind in enumerate(kinds):
        inputs = {"sample": "sample", "timestep": "timestep", "text": "text"}
        inputs |= {"hint": hint(index), "scale": scale(index)}
        _step(config, controlnet(m, kind), inputs, _residual_map("residual", f"control_{index}", count))
    if not kinds:
        inputs = {"sample": "sample", "text": "text"}
        _step(config, no_control(m), inputs, _residual_map("residual", "control_0", count))
    total = "control_0"
    for index in range(1, len(kinds)):
        addends = _residual_map("a", total, count) | _residual_map("b", f"control_{index}", count)
        total = f"sum_{index}"
        _step(config, add_residuals(m), addends, _residual_map("residual", total, count))
    inputs = {tensor.name: tensor.name for tensor in shared} | _residual_map("residual", total, count)
    _step(config, unet(m), inputs, {"prediction": "prediction"})
    return config


def configs(facts: ModelFacts, runtime: Runtime = CPU) -> dict[str, triton.ModelConfig]:
    """Every `config.pbtxt` of the model that is on disk, by folder name."""
    ensembles = (denoise_config(facts, kinds) for kinds in ensemble_kinds(facts))
    graphs = (graph_config(facts, graph, runtime) for graph in graph_names(facts))
    return {config.name: config for config in (*graphs, *ensembles)}


def to_pbtxt(config: triton.ModelConfig) -> str:
    """Serialize as `config.pbtxt`: the same bytes for the same configuration."""
    return "# Written by `python -m export`; change families/ instead.\n" + text_format.MessageToString(config)


def to_json(config: triton.ModelConfig) -> str:
    """Serialize as the JSON that Triton's load API takes in its `config` parameter."""
    return json_format.MessageToJson(config, preserving_proto_field_name=True, indent=None, sort_keys=True)


def _blank(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], max_batch_size: int) -> triton.ModelConfig:
    config = triton.ModelConfig(name=name, max_batch_size=max_batch_size)
    config.version_policy.latest.num_versions = 1
    for field, tensors in ((config.input, inputs), (config.output, outputs)):
        for tensor in tensors:
            field.add(name=tensor.name, data_type=f"TYPE_{tensor.dtype}", dims=tensor.dims)
    return config


def _batching(config: triton.ModelConfig, profile: Profile, role: str) -> None:
    config.dynamic_batching.max_queue_delay_microseconds = profile.queue_delay_us[role]
    policy = config.dynamic_batching.default_queue_policy
    policy.max_queue_size = profile.queue_size
    policy.timeout_action = triton.ModelQueuePolicy.REJECT


def _residual_map(tensor: str, ensemble_tensor: str, count: int) -> dict[str, str]:
    return {f"{tensor}_{index}": f"{ensemble_tensor}_{index}" for index in range(count)}


def _step(config: triton.ModelConfig, graph: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    step = config.ensemble_scheduling.step.add(model_name=graph, model_version=-1)
    step.input_map.update(inputs)
    step.output_map.update(outputs)
