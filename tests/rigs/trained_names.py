"""Models and ControlNets in one file, named as in their training code, for tests: diffusers' converters backwards."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

_HEADS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "controlnet_cond_embedding.conv_in": "input_hint_block.0",
    "controlnet_cond_embedding.conv_out": "input_hint_block.14",
    "controlnet_mid_block": "middle_block_out.0",
}
_RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_MIDDLE = {
    ("resnets", "0"): "middle_block.0",
    ("attentions", "0"): "middle_block.1",
    ("resnets", "1"): "middle_block.2",
}
_OPEN_CLIP = (
    ("layer_norm1", "ln_1"),
    ("layer_norm2", "ln_2"),
    ("mlp.fc1", "mlp.c_fc"),
    ("mlp.fc2", "mlp.c_proj"),
    ("self_attn.out_proj", "attn.out_proj"),
)


def sd15(folder: Path) -> dict[str, Any]:
    """Every tensor of the SD1.5-shaped model in a diffusers folder, as one file names them."""
    words = CLIPTextModel.from_pretrained(folder / "text_encoder").state_dict()
    return _pictures(folder) | clip(words, "cond_stage_model.transformer.")


def sdxl(folder: Path) -> dict[str, Any]:
    """The same of an SDXL-shaped one."""
    first = CLIPTextModel.from_pretrained(folder / "text_encoder").state_dict()
    second = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2").state_dict()
    both = clip(first, "conditioner.embedders.0.transformer.") | open_clip(second, "conditioner.embedders.1.model.")
    return _pictures(folder) | both


def _pictures(folder: Path) -> dict[str, Any]:
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    made = {f"model.diffusion_model.{name}": weight for name, weight in network(unet).items()}
    return made | {f"first_stage_model.{name}": weight for name, weight in autoencoder(vae).items()}


def controlnet(folder: Path) -> dict[str, Any]:
    """Every tensor of the ControlNet in a diffusers folder, as its training code names them."""
    net = ControlNetModel.from_pretrained(folder)
    return {f"control_model.{name}": weight for name, weight in network(net).items()}


def write(tensors: Mapping[str, Any], path: Path, dtype: Any = None) -> Path:
    """Write a safetensors file; `dtype` changes the tensors' type."""
    save_file({name: tensor.to(dtype).clone().contiguous() for name, tensor in tensors.items()}, path)
    return path


def network(model: Any) -> dict[str, Any]:
    """Of a UNet or a ControlNet."""
    state, layers = model.state_dict(), model.config.layers_per_block
    return {_network_name(name, layers, state): weight for name, weight in state.items()}


def _network_name(name: str, layers: int, state: Mapping[str, Any]) -> str:
    for head, trained in _HEADS.items():
        if name.startswith(f"{head}."):
            return trained + name[len(head) :]
    parts = name.split(".")
    if parts[0] == "controlnet_down_blocks":
        return f"zero_convs.{parts[1]}.0.{parts[2]}"
    if parts[0] == "controlnet_cond_embedding":
        return f"input_hint_block.{2 * int(parts[2]) + 2}.{parts[3]}"
    if parts[0] == "mid_block":
        kind, place, rest = parts[1], _MIDDLE[parts[1], parts[2]], parts[3:]
    else:
        level, kind, rest = int(parts[1]), parts[2], parts[4:]
        sampled = kind in ("downsamplers", "upsamplers")
        at = level * (layers + 1) + (layers if sampled else int(parts[3]))
        if parts[0] == "down_blocks":
            place = f"input_blocks.{at + 1}." + {"resnets": "0", "attentions": "1", "downsamplers": "0.op"}[kind]
        else:
            behind = 2 if f"up_blocks.{level}.attentions.0.norm.weight" in state else 1
            places = {"resnets": "0", "attentions": "1", "upsamplers": f"{behind}.conv"}
            place = f"output_blocks.{at}.{places[kind]}"
        rest = rest[1:] if sampled else rest
    if kind == "resnets":
        rest = [_RESIDUAL[rest[0]], *rest[1:]]
    return ".".join([place, *rest])


def autoencoder(vae: Any) -> dict[str, Any]:
    """Of an AutoencoderKL; its attention is made of convolutions."""
    made, levels = {}, len(vae.config.block_out_channels)
    attention = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
    middle = {"resnets.0": "block_1", "resnets.1": "block_2"}
    for name, weight in vae.state_dict().items():
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        for old, trained in middle.items():
            new = new.replace(f"mid_block.{old}", f"mid.{trained}")
        for old, trained in attention.items():
            new = new.replace(f"mid_block.attentions.0.{old}", f"mid.attn_1.{trained}")
        if ".attn_1." in new and weight.ndim == 2:
            weight = weight[:, :, None, None]
        parts = new.split(".")
        if parts[1] in ("down_blocks", "up_blocks"):
            kind = parts[1].partition("_")[0]
            level = int(parts[2]) if kind == "down" else levels - 1 - int(parts[2])
            tail = ["block", parts[4]] if parts[3] == "resnets" else [f"{kind}sample"]
            new = ".".join([parts[0], kind, str(level), *tail, *parts[5:]])
        made[new] = weight
    return made


def clip(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Of a CLIPTextModel, with the positions that old files hold as well."""
    made = {f"{prefix}text_model.{name.removeprefix('text_model.')}": weight for name, weight in state.items()}
    return made | {f"{prefix}text_model.embeddings.position_ids": torch.arange(77)[None]}


def open_clip(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Of a CLIPTextModelWithProjection."""
    state = {name.removeprefix("text_model."): weight for name, weight in state.items()}
    made: dict[str, Any] = {"logit_scale": torch.ones(())}
    for name, weight in state.items():
        if name == "embeddings.token_embedding.weight":
            made["token_embedding.weight"] = weight
        elif name == "embeddings.position_embedding.weight":
            made["positional_embedding"] = weight
        elif name.startswith("final_layer_norm"):
            made[name.replace("final_layer_norm", "ln_final")] = weight
        elif name == "text_projection.weight":
            made["text_projection"] = weight.T
        elif ".self_attn.q_proj." in name:
            layer, leaf = name.split(".self_attn.q_proj.")
            whole = torch.cat([state[f"{layer}.self_attn.{part}_proj.{leaf}"] for part in "qkv"])
            made[f"transformer.resblocks.{layer.split('.')[-1]}.attn.in_proj_{leaf}"] = whole
        elif ".self_attn.out_proj." in name or "_proj." not in name:
            rest = name.removeprefix("encoder.layers.")
            for ours, theirs in _OPEN_CLIP:
                rest = rest.replace(ours, theirs)
            made[f"transformer.resblocks.{rest}"] = weight
    return {prefix + name: weight for name, weight in made.items()}


_FLUX = {
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "proj_out": "final_layer.linear",
}
_FLUX_DOUBLE = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
}


def flux(transformer: Any) -> dict[str, Any]:
    """Of a FluxTransformer2DModel."""
    state = dict(transformer.state_dict())
    made: dict[str, Any] = {}

    def put(name: str, *layers: str) -> None:
        for leaf in ("weight", "bias"):
            if f"{layers[0]}.{leaf}" in state:
                made[f"{name}.{leaf}"] = torch.cat([state.pop(f"{layer}.{leaf}") for layer in layers])

    def scales(name: str, query: str, key: str) -> None:
        made[f"{name}.query_norm.scale"] = state.pop(f"{query}.weight")
        made[f"{name}.key_norm.scale"] = state.pop(f"{key}.weight")

    for block in range(transformer.config.num_layers):
        here, there = f"transformer_blocks.{block}", f"double_blocks.{block}"
        put(f"{there}.img_attn.qkv", *(f"{here}.attn.to_{part}" for part in "qkv"))
        put(f"{there}.txt_attn.qkv", *(f"{here}.attn.add_{part}_proj" for part in "qkv"))
        scales(f"{there}.img_attn.norm", f"{here}.attn.norm_q", f"{here}.attn.norm_k")
        scales(f"{there}.txt_attn.norm", f"{here}.attn.norm_added_q", f"{here}.attn.norm_added_k")
        for ours, theirs in _FLUX_DOUBLE.items():
            put(f"{there}.{theirs}", f"{here}.{ours}")
    for block in range(transformer.config.num_single_layers):
        here, there = f"single_transformer_blocks.{block}", f"single_blocks.{block}"
        put(f"{there}.linear1", *(f"{here}.attn.to_{part}" for part in "qkv"), f"{here}.proj_mlp")
        put(f"{there}.linear2", f"{here}.proj_out")
        put(f"{there}.modulation.lin", f"{here}.norm.linear")
        scales(f"{there}.norm", f"{here}.attn.norm_q", f"{here}.attn.norm_k")
    for leaf in ("weight", "bias"):
        scale, shift = state.pop(f"norm_out.linear.{leaf}").chunk(2)
        made[f"final_layer.adaLN_modulation.1.{leaf}"] = torch.cat([shift, scale])
    for ours, theirs in _FLUX.items():
        put(theirs, ours)
    assert not state, sorted(state)
    return made
