"""The manifests as `kubectl kustomize` renders them, and ways to look into them."""

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
COMPONENTS = ("colocated", "fetch-urls", "gpu", "internal-callers")
VARIANTS = ("base", "demo", *COMPONENTS, "every component")

Document = dict[str, Any]


@functools.cache
def renderings() -> dict[str, list[Document]]:
    """Variant -> its documents: the base, the demo overlay, and the demo with each component and with all."""
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl on this machine, so the manifests can't be rendered")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        # kustomize takes no absolute paths, so the tree is copied beside the overlays made here.
        shutil.copytree(K8S, folder / "k8s")
        places = {"base": folder / "k8s" / "base", "demo": folder / "k8s" / "overlays" / "demo"}
        for variant, components in {**{name: (name,) for name in COMPONENTS}, "every component": COMPONENTS}.items():
            places[variant] = folder / variant.replace(" ", "-")
            places[variant].mkdir()
            used = [f"../k8s/components/{name}" for name in components]
            overlay = {"resources": ["../k8s/overlays/demo"], "components": used}
            (places[variant] / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        return {variant: render(place) for variant, place in places.items()}


def render(folder: Path) -> list[Document]:
    result = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert not result.stderr, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def of_kind(documents: list[Document], kind: str) -> dict[str, Document]:
    return {document["metadata"]["name"]: document for document in documents if document["kind"] == kind}


def pods(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Name of each Deployment or Job, and its pod template."""
    for kind in ("Deployment", "Job"):
        for name, document in of_kind(documents, kind).items():
            yield name, document["spec"]["template"]


def containers(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Each container, init containers too, with a name that says where it is."""
    for name, template in pods(documents):
        for group in ("initContainers", "containers"):
            for container in template["spec"].get(group, []):
                yield f"{name}/{container['name']}", container


def environment(container: Document) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}
