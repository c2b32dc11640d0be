"""Names, tensors and Triton configurations of a model's graphs.

What every service shares: the name of each graph, which tensors go in and out, and how ensembles connect the graphs.
Rows are requests; R is the 1 or 2 text rows of a request (negative, positive); h and w are latent cells.

Tensors that are called alike in two graphs are one tensor in an ensemble; a hint, its scale and its mode are each
control's own, and the controls' residuals are summed. So an ensemble follows from the signatures of its graphs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2 as triton

from families.facts import ModelFacts, Net
from families.pictures import PICTURE, encoder_tensors
from families.profiles import CPU, SHRINK_OVER, Profile, Runtime, native_elements, profile_of
from families.table import family_of
from families.tensors import Part, Tensor

# --- names ------------------------------------------------------------------------------------------------------


def text_encoder(model: str) -> str:
    return f"{model}_text_encoder"


def controlnet(model: str, net: str) -> str:
    return f"{model}_controlnet_{net}"


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


def denoise(model: str, nets: Sequence[str] = ()) -> str:
    """Name of the ensemble of one denoising step with these ControlNets; `hint_i` belongs to the i-th sorted one.

    A ControlNet may occur more than once (two canny maps, each with its own scale).
    """
    return "__".join((f"{model}_denoise", *sorted(nets)))


def nets_of(model: str, name: str) -> tuple[str, ...] | None:
    """The ControlNets of the ensemble `name`, the inverse of `denoise`; None if it is not an ensemble of `model`."""
    ensemble, *nets = name.split("__")
    return tuple(nets) if ensemble == denoise(model) else None


def residual(index: int) -> str:
    return f"residual_{index}"


def hint(index: int) -> str:
    return f"hint_{index}"


def scale(index: int) -> str:
    return f"scale_{index}"


def mode(index: int) -> str:
    return f"mode_{index}"


def graph_names(facts: ModelFacts) -> tuple[str, ...]:
    """Every graph that has a `model.onnx`, sorted."""
    return tuple(sorted(part.graph for part in _parts(facts)))


def ensemble_nets(facts: ModelFacts) -> tuple[tuple[str, ...], ...]:
    """The combinations of ControlNets whose ensembles are on disk: none, each one, each pair of different ones.

    Any other combination is registered at run time from `denoise_config`.
    """
    nets = [net.name for net in facts.nets]
    return tuple(chosen for count in (0, 1, 2) for chosen in itertools.combinations(nets, count))


def ensemble_names(facts: ModelFacts) -> tuple[str, ...]:
    """Names of the ensembles on disk, sorted."""
    return tuple(sorted(denoise(facts.name, nets) for nets in ensemble_nets(facts)))


def repository_names(facts: ModelFacts) -> tuple[str, ...]:
    """Every folder of the model in the repository that Triton can load: graphs, then the ensembles that use them."""
    return (*graph_names(facts), *ensemble_names(facts))


# --- tensors ----------------------------------------------------------------------------------------------------

TIMESTEP = Tensor("timestep", "FP32", (1,))
GUIDANCE = Tensor("guidance", "FP32", (1,))


def latents(facts: ModelFacts, name: str) -> Tensor:
    return Tensor(name, "FP32", (facts.latent_channels, "h", "w"))


def steering(facts: ModelFacts) -> tuple[Tensor, ...]:
    """What every ControlNet and the denoiser itself read. The number of tokens depends on the request: a long prompt
    takes several lengths of the text encoder."""
    text = Tensor("text", "FP32", ("rows", "tokens", facts.text_width))
    vector = [Tensor("vector", "FP32", ("rows", facts.vector.width))] if facts.vector else []
    distilled = [Tensor("distilled", "FP32", (1,))] if facts.distilled else []
    return (latents(facts, "sample"), TIMESTEP, text, *vector, *distilled)


def control_inputs(facts: ModelFacts, net: Net, at: str = "") -> tuple[Tensor, ...]:
    """What is a control's own: its hint and its scale; `at` is the ending of their names in an ensemble."""
    family = family_of(facts)
    pixels = Tensor(f"hint{at}", "UINT8", (net.channels, "H", "W"))
    scale = Tensor(f"scale{at}", "FP32", ("rows", len(facts.residuals)))
    return (
        pixels if family.hint == "pixels" else latents(facts, f"hint{at}"),
        scale if family.control_rows == "all" else Tensor(f"scale{at}", "FP32", (1,)),
        *([Tensor(f"mode{at}", "INT64", (1,))] if net.union else []),
    )


def residual_tensors(facts: ModelFacts, prefix: str = "residual") -> tuple[Tensor, ...]:
    """`<prefix>_i` FP32 in diffusers' order, as `facts.residuals` says."""
    return tuple(Tensor(f"{prefix}_{index}", "FP32", dims) for index, dims in enumerate(facts.residuals))


def _has_rows(residuals: Sequence[Tensor]) -> bool:
    return any("rows" in residual.dims for residual in residuals)


def _read_by(net: Net, shared: Sequence[Tensor]) -> tuple[Tensor, ...]:
    left_out = {name for name, is_read in (("vector", net.reads_vector), ("distilled", net.distilled)) if not is_read}
    return tuple(tensor for tensor in shared if tensor.name not in left_out)


def _parts(facts: ModelFacts) -> tuple[Part, ...]:
    """The tensors of every graph, one row each."""
    m, residuals, shared = facts.name, residual_tensors(facts), steering(facts)
    sample, text = shared[0], next(tensor for tensor in shared if tensor.name == "text")
    tokens = tuple(
        Tensor("input_ids" if len(facts.encoders) == 1 else f"input_ids_{index}", "INT64", (encoder.length,))
        for index, encoder in enumerate(facts.encoders)
    )
    skipped = [Tensor("layers_skipped", "INT64", (1,))] if family_of(facts).skips != "none" else []
    words = [Tensor("hidden", "FP32", (facts.text_tokens, facts.text_width))]
    words += [Tensor("pooled", "FP32", (facts.vector.pooled,))] if facts.vector else []
    addends = (*residual_tensors(facts, "a"), *residual_tensors(facts, "b"))
    beside = [Tensor("concat", "FP32", (facts.concat_channels, "h", "w"))] if facts.concat else []
    return (
        Part(text_encoder(m), "text_encoder", (*tokens, *skipped), tuple(words)),
        *(
            Part(controlnet(m, net.name), "denoiser", (*_read_by(net, shared), *control_inputs(facts, net)), residuals)
            for net in facts.nets
        ),
        Part(no_control(m), "denoiser", (sample, text) if _has_rows(residuals) else (sample,), residuals),
        Part(add_residuals(m), "denoiser", addends, residuals),
        Part(unet(m), "denoiser", (*shared, *beside, GUIDANCE, *residuals), (latents(facts, "prediction"),)),
        Part(vae_decoder(m), "vae", (latents(facts, "latents"),), (PICTURE,)),
        Part(vae_encoder(m), "vae", encoder_tensors(facts), (latents(facts, "mean"), latents(facts, "deviation"))),
    )


def part(facts: ModelFacts, graph: str) -> Part:
    """The tensors of one graph by its full name. Raises KeyError if the model has no such graph."""
    return {row.graph: row for row in _parts(facts)}[graph]


def step_inputs(facts: ModelFacts, nets: Sequence[str] = ()) -> tuple[Tensor, ...]:
    """Inputs of one denoising step with `nets` (sorted, may repeat): the denoiser's, then each control's own.

    Raises KeyError for a ControlNet that the model does not have.
    """
    residuals = {tensor.name for tensor in residual_tensors(facts)}
    own = tuple(t for place, name in enumerate(nets) for t in control_inputs(facts, facts.net(name), f"_{place}"))
    return (*(tensor for tensor in part(facts, unet(facts.name)).inputs if tensor.name not in residuals), *own)


def tensors_of(facts: ModelFacts, name: str) -> tuple[Tensor, ...]:
    """Inputs of the graph or ensemble `name`; none if the model has neither."""
    nets = nets_of(facts.name, name)
    try:
        return part(facts, name).inputs if nets is None else step_inputs(facts, nets)
    except KeyError:
        return ()


# --- configurations ---------------------------------------------------------------------------------------------


def graph_config(facts: ModelFacts, graph: str, runtime: Runtime = CPU) -> triton.ModelConfig:
    """`config.pbtxt` of a graph that has a `model.onnx`. Raises KeyError if the model has no such graph."""
    row = part(facts, graph)
    config = part_config(row, profile_of(facts), runtime)
    if runtime.shrinks:
        config.parameters[SHRINK_OVER].string_value = str(native_elements(row, facts))
    return config


def part_config(row: Part, profile: Profile, runtime: Runtime = CPU) -> triton.ModelConfig:
    """`config.pbtxt` of any graph that has a `model.onnx`."""
    config = _blank(row.graph, row.inputs, row.outputs, profile.batch[row.role])
    config.backend = "onnxruntime"
    config.default_model_filename = "model.onnx"
    config.instance_group.add(count=1, kind=triton.ModelInstanceGroup.Kind.Value(runtime.instance_kind))
    _batching(config, profile, row.role)
    runtime.apply(config, row.role, profile)
    return config


def denoise_config(facts: ModelFacts, nets: Sequence[str] = ()) -> triton.ModelConfig:
    """`config.pbtxt` of the ensemble `denoise(facts.name, nets)`: ControlNets, the sum of their residuals, the UNet.

    Its inputs are those of `step_inputs`, its output is prediction. ControlNets may repeat; without any the step has no
    control. Raises ValueError for one that the model does not have.
    """
    nets, known = tuple(sorted(nets)), [net.name for net in facts.nets]
    if unknown := sorted(set(nets) - set(known)):
        raise ValueError(f"model {facts.name!r} has no ControlNet {unknown}; it has {known}")
    m, count = facts.name, len(facts.residuals)
    main = part(facts, unet(m))
    config = _blank(denoise(m, nets), step_inputs(facts, nets), main.outputs, profile_of(facts).batch["denoiser"])
    config.platform = "ensemble"
    for place, name in enumerate(nets):
        own = {tensor.name: f"{tensor.name}_{place}" for tensor in control_inputs(facts, facts.net(name))}
        graph = part(facts, controlnet(m, name))
        inputs = {tensor.name: own.get(tensor.name, tensor.name) for tensor in graph.inputs}
        _step(config, graph.graph, inputs, _residual_map("residual", f"control_{place}", count))
    if not nets:
        inputs = {tensor.name: tensor.name for tensor in part(facts, no_control(m)).inputs}
        _step(config, no_control(m), inputs, _residual_map("residual", "control_0", count))
    total = "control_0"
    for place in range(1, len(nets)):
        addends = _residual_map("a", total, count) | _residual_map("b", f"control_{place}", count)
        total = f"sum_{place}"
        _step(config, add_residuals(m), addends, _residual_map("residual", total, count))
    added = _residual_map("residual", total, count)
    inputs = {tensor.name: added.get(tensor.name, tensor.name) for tensor in main.inputs}
    _step(config, unet(m), inputs, {"prediction": "prediction"})
    return config


def configs(facts: ModelFacts, runtime: Runtime = CPU) -> dict[str, triton.ModelConfig]:
    """Every `config.pbtxt` of the model that is on disk, by folder name."""
    ensembles = (denoise_config(facts, nets) for nets in ensemble_nets(facts))
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
            field.add(name=tensor.name, data_type=f"TYPE_{tensor.dtype}", dims=tensor.free)
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
