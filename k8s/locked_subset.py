"""Print the part of the hashed lock that one image needs: `python k8s/locked_subset.py EXTRA... > service.lock`.

pip works out which packages the extras of pyproject.toml need, held to the lock's versions; what is printed are the
lock's own lines, hashes and all, so an image can hold nothing that the lock does not name.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Installed separately (requirements/torch.txt): the lock does not contain it.
APART = "torch"
# Taken without what it names besides (torchvision, timm): see requirements/without-torch.txt. The extra that wants it
# lists what its exported detectors need.
ALONE = "controlnet-aux"


def canonical(name: str) -> str:
    """A package's name as PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def blocks(lock: str) -> list[str]:
    """The lock's requirements, each with its hashes and marker."""
    return [block.strip() for block in re.split(r"(?m)^(?=[A-Za-z0-9])", lock) if block.strip()]


def requirement(block: str) -> str:
    """A block without its hashes: name, version and marker."""
    return block.split("\\", 1)[0].split(" --hash", 1)[0].strip()


def name(line: str) -> str:
    """The canonical name of the package that a requirement is about."""
    found = re.match(r"[A-Za-z0-9._-]+", line)
    assert found, line
    return canonical(found.group())


def subset(lock: str, names: Iterable[str]) -> str:
    """The lock's blocks for `names`.

    Raises:
        KeyError: naming what the lock does not hold.
    """
    wanted = {canonical(each) for each in names}
    chosen = [block for block in blocks(lock) if name(block) in wanted]
    if missing := sorted(wanted - {name(block) for block in chosen}):
        raise KeyError(f"not in the lock: {', '.join(missing)}")
    return "\n".join(chosen) + "\n"


def wanted_by(project: dict[str, object], extras: Iterable[str]) -> list[str]:
    """The requirements of pyproject.toml's `project` with `extras`, torch left out."""
    optional = project["optional-dependencies"]
    lists = [project["dependencies"], *(optional[extra] for extra in extras)]  # type: ignore[index]
    return [line for requirements in lists for line in requirements if name(line) != APART]


def resolve(requirements: list[str], lock: str) -> list[str]:
    """Names of everything that `requirements` need, as pip finds them within the lock's versions."""
    alone = [name(line) for line in requirements if name(line) == ALONE]
    requirements = [line for line in requirements if name(line) != ALONE]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(map(requirement, blocks(lock))))
        constraints.flush()
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        report = subprocess.run(
            [*command, "--report", "-", "--constraint", constraints.name, *requirements],
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
    return [*alone, *(entry["metadata"]["name"] for entry in json.loads(report)["install"])]


if __name__ == "__main__":
    held = (ROOT / "requirements" / "mesh.lock").read_text()
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    print(subset(held, resolve(wanted_by(described, sys.argv[1:]), held)), end="")
