"""What tests need to start a mesh of their own and to talk to one."""

import base64
import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from numpy.typing import NDArray

from local.settings import LocalSettings
from mesh.pictures import decode, encode

ROOT = Path(__file__).resolve().parents[2]
DEMO_WEIGHTS = ROOT / "demo" / "weights"
DEMO_CONTROLS = ("canny", "depth", "inpaint", "scribble", "segmentation")
GENERATIONS = "/controlmesh/v1/generations"


def local_settings(repository: Path, run_folder: Path) -> LocalSettings:
    """Settings of a mesh of its own: free ports, own run folder."""
    return LocalSettings(model_repository=str(repository), run_folder=str(run_folder)).with_free_ports()


def mesh_environment(**changes: str) -> dict[str, str]:
    """Environment of a test's mesh: this process's without the mesh's own variables, quick drains, `changes`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CN_")}
    return {**inherited, "CN_DRAIN_S": "0.2", "CN_GRACE_S": "2", "OMP_NUM_THREADS": "1", **changes}


def control(kind: str, hint: NDArray[np.uint8], **changes: Any) -> dict[str, Any]:
    """A native control with a ready hint UINT8 [h, w, 3]."""
    image = base64.b64encode(encode(hint)).decode()
    return {"kind": kind, "image": image, "auto_hint": False, **changes}


def picture(client: httpx2.Client, request: dict[str, Any]) -> NDArray[np.uint8]:
    """The one picture of a native request, UINT8 [h, w, 3]."""
    answer = client.post(f"{GENERATIONS}?wait=120", json=request)
    assert answer.status_code == 200, answer.text
    record = answer.json()
    assert record["status"] == "succeeded", record
    (made,) = record["images"]
    return decode(client.get(made["url"]).raise_for_status().content)


@contextmanager
def served(files: dict[str, bytes]) -> Iterator[str]:
    """A web server on loopback with these files; gives its URL without the last slash."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path.lstrip("/"))
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
