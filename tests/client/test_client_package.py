"""The client as a package: what it needs, what it reads, and that its README's example runs."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.contract.conftest import Running

FOLDER = Path(__file__).resolve().parents[2] / "client"
SOURCES = sorted((FOLDER / "controlmesh_client").glob("*.py"))
ALONE = """
import sys
sys.path = [path for path in sys.path if "site-packages" in path] + [{folder!r}, *{standard!r}]
import controlmesh_client
unwanted = {{"PIL", "numpy", "torch", "mesh", "gateway", "controlmesh", "fastapi"}}
assert not unwanted & set(sys.modules), unwanted & set(sys.modules)
"""


def test_it_is_imported_without_the_project_and_without_what_is_optional() -> None:
    standard = [path for path in sys.path if "python3" in path and "site-packages" not in path]
    code = ALONE.format(folder=str(FOLDER), standard=standard)
    subprocess.run([sys.executable, "-I", "-c", code], check=True, cwd="/")


def test_it_reads_no_environment_and_no_file_of_it_is_long() -> None:
    assert len(SOURCES) > 10
    for path in SOURCES:
        text = path.read_text()
        assert not re.search(r"os\.environ\b(?!\))|getenv", text), path.name
        assert len(text.splitlines()) <= 300, path.name


async def test_the_example_of_the_readme_runs(gateway: Running, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    Image.new("RGB", (96, 64)).save(tmp_path / "room.png")
    program = code.replace("http://127.0.0.1:8080", gateway.url)
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    told, errors = await run.communicate()
    assert run.returncode == 0, errors.decode()
    assert b"of" in told
    assert set(os.listdir(tmp_path)) == {"room.png", "star.png", "ring.png", "edges.png"}
