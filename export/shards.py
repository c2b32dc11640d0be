"""Find the weights of a part in its folder: one safetensors file, or an index with its shards, all of which are checked
for all of their tensors before anything is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from export.errors import SourceRefused
from export.hostile import read_object, refusing, require_plain_files, shown

SUFFIX = ".safetensors"
WHOLE = tuple(f"{stem}{variant}{SUFFIX}" for variant in ("", ".fp16") for stem in ("diffusion_pytorch_model", "model"))
"""Names of weights in one file, the preferred first."""
_INDEX, _INDEX_END = ".safetensors.index", ".json"
# The libraries put the variant before the last word: model.fp16.safetensors, but model.safetensors.index.fp16.json.
INDEXES = {
    name: f"{stem}{_INDEX}{'.' if variant else ''}{variant}{_INDEX_END}"
    for name in WHOLE
    for stem, _, variant in [name.removesuffix(SUFFIX).partition(".")]
}
"""Name of the one file -> name of the index in its place."""
NAMES = tuple(name for whole in WHOLE for name in (whole, INDEXES[whole]))
"""All of them, the preferred first."""
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".msgpack", ".h5")

MOST_SHARDS = 1_000
MOST_TENSORS = 50_000


def is_shard(name: str, index: str) -> bool:
    """Whether the libraries call a shard of `index` so: `model-00001-of-00002.safetensors`; with a variant,
    `model.fp16-00001-of-00002.safetensors`, or, as they did once, `model-00001-of-00002.fp16.safetensors`."""
    for whole, other in INDEXES.items():
        if other == index:
            stem, dot, variant = whole.removesuffix(SUFFIX).partition(".")
            number, end = r"-\d+-of-\d+", re.escape(SUFFIX)
            found = rf"{stem}({re.escape(dot + variant)}{number}|{number}{re.escape(dot + variant)}){end}"
            return re.fullmatch(found, name) is not None
    return False


def weights_in(folder: Path, what: str) -> tuple[Path, tuple[Path, ...]]:
    """The weights of the part `what`: its one file and no shards, or its index and all its shards, in their order.

    Raises SourceRefused for pickles alone, no weights, or incomplete ones: a file that is cut off or missing, a shard
    whose tensors are not those that the index names.
    """
    require_plain_files(folder, what)
    files = {path.name: path for path in folder.iterdir() if path.is_file()}
    for name in NAMES:
        if name in files:
            if name not in WHOLE:
                return files[name], _shards(files[name], files, what)
            tensors_in(files[name], what)
            return files[name], ()
    pickles = sorted(name for name in files if name.endswith((*PICKLES, ".bin.index.json")))
    if pickles:
        raise SourceRefused(
            f"{what}: {', '.join(pickles)} can run code when loaded and is refused. If you trust it, convert it "
            "once: DiffusionPipeline.from_pretrained(SOURCE).save_pretrained(FOLDER, safe_serialization=True)."
        )
    raise SourceRefused(f"{what}: weights are missing; expected one of {', '.join(WHOLE)}, or an index with its shards")


def _shards(index: Path, files: Mapping[str, Path], what: str) -> tuple[Path, ...]:
    named = _by_shard(read_object(index, what).get("weight_map"), index.name, what)
    for shard, tensors in named.items():
        if shard not in files:
            raise SourceRefused(f"{what}: {shard} is missing, in which {index.name} has {_some(tensors, 'tensor')}")
    for shard, tensors in named.items():
        found = tensors_in(files[shard], what)
        if lost := tensors - found:
            raise SourceRefused(f"{what}: {shard} lacks {_some(lost, 'tensor')} that {index.name} has there")
        if more := found - tensors:
            raise SourceRefused(f"{what}: {shard} has {_some(more, 'tensor')} that {index.name} does not have there")
    return tuple(files[shard] for shard in named)


def _by_shard(weight_map: Any, index: str, what: str) -> dict[str, set[str]]:
    """Shard -> its tensors, sorted by the shards' names. Raises SourceRefused for what is no map of such."""
    if not isinstance(weight_map, dict) or not weight_map:
        raise SourceRefused(f"{what}: {index} has no weight_map from tensors to files")
    if len(weight_map) > MOST_TENSORS:
        raise SourceRefused(f"{what}: {index} has {len(weight_map)} tensors; at most {MOST_TENSORS} are read")
    named: dict[str, set[str]] = {}
    for tensor, shard in weight_map.items():
        if not _is_name(shard):
            raise SourceRefused(
                f"{what}: {index} places the tensor {shown(tensor)} in {shown(shard)}, which is no safetensors file of "
                "the same folder"
            )
        named.setdefault(shard, set()).add(tensor)
    if len(named) > MOST_SHARDS:
        raise SourceRefused(f"{what}: {index} has {len(named)} shards; at most {MOST_SHARDS} are read")
    return dict(sorted(named.items()))


def _is_name(shard: Any) -> bool:
    """Whether it is a file's name and no path: it must not lead out of the folder."""
    if not isinstance(shard, str) or not shard.endswith(SUFFIX) or len(shard) > 255:
        return False
    return shard.isprintable() and not {"/", "\\"} & set(shard) and shard != SUFFIX


def tensors_in(path: Path, what: str) -> set[str]:
    """Names of all tensors of a file of the part `what`. Raises SourceRefused if it is not complete."""
    with refusing(what, SafetensorError, OSError):
        try:
            with safe_open(path, framework="numpy") as opened:
                return set(opened.keys())
        except (SafetensorError, OSError) as error:
            raise SourceRefused(f"{what}: {path.name} is not a complete safetensors file ({error})") from error


def _some(names: Iterable[str], what: str) -> str:
    first, *others = sorted(names)
    return f"{len(others) + 1} {what}s such as {shown(first)}" if others else f"the {what} {shown(first)}"
