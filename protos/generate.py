"""Write the Python stubs beside the .proto files, or check that the committed ones are fresh.

python protos/generate.py            # rewrite the stubs
python protos/generate.py --check    # exit 1 and name the stale files
"""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def write_stubs(out: Path) -> list[Path]:
    """Run protoc for messages, services and their types; return the files written under `out`."""
    sources = sorted(str(p.relative_to(HERE)) for p in HERE.glob("controlmesh/**/*.proto"))
    bin_dir = str(Path(sys.executable).parent)
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--python_out={out}", f"--grpc_python_out={out}",
         f"--plugin=protoc-gen-mypy={bin_dir}/protoc-gen-mypy",
         f"--plugin=protoc-gen-mypy_grpc={bin_dir}/protoc-gen-mypy_grpc",
         f"--mypy_out=quiet:{out}", f"--mypy_grpc_out=quiet:{out}", *sources],
        cwd=HERE, check=True,
    )  # fmt: skip
    return sorted(p for p in out.rglob("*_pb2*.py*") if "__pycache__" not in p.parts)


def stale_stubs() -> list[str]:
    """Names of committed stubs that differ from what the .proto files give now."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = {p.relative_to(scratch): p.read_bytes() for p in write_stubs(Path(scratch))}
    committed = {p.relative_to(HERE) for p in HERE.rglob("*_pb2*.py*") if "__pycache__" not in p.parts}
    changed = {name for name, text in fresh.items() if name not in committed or (HERE / name).read_bytes() != text}
    return sorted(str(name) for name in changed | (committed - fresh.keys()))


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        stale = stale_stubs()
        if stale:
            sys.exit(f"stale stubs: {', '.join(stale)}; run `make protos` and commit them")
        print("stubs are fresh")
    else:
        print(*(p.relative_to(HERE) for p in write_stubs(HERE)), sep="\n")
