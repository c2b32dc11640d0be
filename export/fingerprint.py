"""Decide whether there is anything to export, by hashes of its inputs and outputs, without importing torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from export.parts import Source
from families import graphs as names
from families.additions import as_exported
from families.facts import ModelFacts
from families.manifest import Manifest, ManifestError, read_manifest, tokenizer_paths

PACKAGES = ("torch", "diffusers", "transformers", "tokenizers", "onnx", "onnxruntime")

_HERE = Path(__file__).parent
_CODE = (
    "hollow.py",
    "initializers.py",
    "load.py",
    "preview.py",
    "single_files/flux.py",
    "single_files/weights.py",
    "stored.py",
    "tokens.py",
    "trace.py",
)


def versions() -> dict[str, str]:
    """The installed versions of every package whose code shapes a graph."""
    return {package: version(package) for package in PACKAGES}


def sha256(paths: Iterable[Path]) -> str:
    """One hash over the contents of `paths`, in their order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def inputs_of(source: Source, facts: ModelFacts) -> str:
    """A fingerprint of everything that determines the graphs: the source's files, its facts, the graphs' tensors,
    versions and this code."""
    code = sorted(
        path
        for path in (
            *_HERE.glob("graphs/*.py"),
            *(_HERE / "families" / f"{name}.py" for name in (facts.family, "unet")),
            *(_HERE / name for name in _CODE),
        )
    )
    signatures = [names.part(facts, graph) for graph in names.graph_names(facts)]
    told = sorted((name, sorted(config.items())) for name, config in source.told().items())
    described = repr((facts, signatures, sorted(versions().items()), told))
    return hashlib.sha256(f"{sha256(source.files())} {sha256(code)} {described}".encode()).hexdigest()


def graph_files(folder: Path) -> list[Path]:
    """The files of one exported graph: `model.onnx`, and its weights file if it has one."""
    return sorted((folder / "1").glob("model.onnx*"))


def up_to_date(repository: Path, facts: ModelFacts, fingerprint: str) -> Manifest | None:
    """The card of an export with this fingerprint if all its files still match the card, else None."""
    try:
        card = read_manifest(repository, facts.name)
    except ManifestError:
        return None
    if card.fingerprint != fingerprint or set(as_exported(card).graphs) != set(names.graph_names(facts)):
        return None
    if not all(path.is_file() for path in tokenizer_paths(repository, facts)):
        return None
    for graph, made in card.graphs.items():
        files = graph_files(repository / graph)
        if sum(path.stat().st_size for path in files) != made.bytes or sha256(files) != made.sha256:
            return None
    if not all((repository / ensemble / "1").is_dir() for ensemble in names.ensemble_names(facts)):
        return None
    return card
