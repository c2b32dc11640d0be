"""Weights of a folder in several files with an index, as the hub has those of large models."""

import json
from pathlib import Path

from safetensors.torch import load_file, save_file


def shard(root: Path, count: int = 3) -> Path:
    """Split every part's weights in `root` into `count` files with an index; returns `root`."""
    for path in sorted(root.rglob("*.safetensors")):
        tensors = load_file(path)
        stem, _, variant = path.name.removesuffix(".safetensors").partition(".")
        middle, end = (f".{variant}", f".{variant}.json") if variant else ("", ".json")
        placed = {}
        for number in range(count):
            name = f"{stem}{middle}-{number + 1:05}-of-{count:05}.safetensors"
            held = dict(sorted(tensors.items())[number::count])
            save_file(held, path.with_name(name))
            placed |= dict.fromkeys(held, name)
        path.with_name(f"{stem}.safetensors.index{end}").write_text(
            json.dumps({"metadata": {"total_size": path.stat().st_size}, "weight_map": placed})
        )
        path.unlink()
    return root
