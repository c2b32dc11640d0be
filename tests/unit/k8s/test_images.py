"""The images' requirements are the lock's own lines, and torch goes only where it is used."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
LOCK = """\
one==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
two-parts==2.0 ; python_full_version < '3.12' \\
    --hash=sha256:cc
two-parts==2.1 ; python_full_version >= '3.12' \\
    --hash=sha256:dd
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """k8s/locked_subset.py, which is a program and no package's module."""
    spec = importlib.util.spec_from_file_location("locked_subset", ROOT / "k8s" / "locked_subset.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_block_keeps_its_hashes_and_marker(script: ModuleType) -> None:
    assert script.subset(LOCK, ["One"]) == LOCK[: LOCK.index("two-parts")]
    assert script.subset(LOCK, ["two_parts"]) == LOCK[LOCK.index("two-parts") :]


def test_a_package_outside_the_lock_is_refused(script: ModuleType) -> None:
    with pytest.raises(KeyError, match="three"):
        script.subset(LOCK, ["one", "three"])


def test_constraints_are_the_lock_without_hashes(script: ModuleType) -> None:
    assert [script.requirement(block) for block in script.blocks(LOCK)] == [
        "one==1.0",
        "two-parts==2.0 ; python_full_version < '3.12'",
        "two-parts==2.1 ; python_full_version >= '3.12'",
    ]


def test_the_lock_is_read_whole(script: ModuleType) -> None:
    lock = (ROOT / "requirements" / "mesh.lock").read_text()
    found = script.blocks(lock)
    assert len(found) == len(re.findall(r"(?m)^[A-Za-z0-9][A-Za-z0-9._-]*==", lock))
    assert all("--hash=sha256:" in block for block in found)


def extras() -> dict[str, list[str]]:
    """SERVICE -> extras, as the Dockerfile has them."""
    return {
        service: names.split()
        for service, names in re.findall(r'^  (\w+)\) extras="([^"]+)" ;;$', (ROOT / "Dockerfile").read_text(), re.M)
    }


def test_every_image_of_the_manifests_can_be_built() -> None:
    images = re.findall(r"image: controlmesh/([\w-]+):", "".join(p.read_text() for p in (ROOT / "k8s").rglob("*.yaml")))
    assert {image.replace("-", "_") for image in images} == extras().keys() | {"model_server"}
    # Triton's has a Dockerfile of its own.
    assert "controlmesh/model-server" in (ROOT / "model_server" / "Dockerfile").read_text()


def test_the_context_holds_what_the_images_copy() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for dockerfile in (ROOT / "Dockerfile", ROOT / "model_server" / "Dockerfile"):
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile.read_text(), re.M):
            *sources, _ = line.split()
            for source in sources:
                assert source == "." or any(source == top or source.startswith(f"{top}/") for top in allowed), line


def test_the_context_holds_every_room_that_becomes_an_image() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    # The exporter's image takes the demo model and the client along.
    assert extras().keys() | {"demo", "client/controlmesh_client"} <= allowed


def test_torch_goes_only_where_it_is_used(script: ModuleType) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for service, names in extras().items():
        asked = [line for name in names for line in project["optional-dependencies"][name]]
        has_torch = any(script.name(line) == "torch" for line in asked)
        assert has_torch == (service in {"unet_svc", "export"})
        # What the Dockerfile installs torch by.
        assert has_torch == ("torch-runtime" in names)
        assert "torch" not in {script.name(line) for line in script.wanted_by(project, names)}


def test_the_dockerfile_is_pinned_and_not_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON=3\.11\.\d+-slim-\w+$", text, re.M)
    assert "--require-hashes" in text
    assert text.index("USER 10001:10001") < text.index("ENTRYPOINT")
    assert not re.search(r"\blatest\b", text)
