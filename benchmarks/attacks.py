"""Attack a running mesh, and measure how long others wait meanwhile and how much memory the gateway takes.

    python -m benchmarks.attacks                                  # on a mesh of its own, with a key
    python -m benchmarks.attacks --url http://127.0.0.1:8080 --key KEY
    python -m benchmarks.attacks --only "nested arrays" --only "held bodies"
    python -m benchmarks.attacks --write docs/attacks_benchmark.md

Others are a client who asks `/healthz` and one who has a key and makes small pictures, each its next request as soon as
the last one is answered. They do so first without, then during each attack. The attacker is a process of its own. An
attack is a function of this file with a row in ATTACKS.
"""

import contextlib
import multiprocessing
import os
import platform
import selectors
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import urlsplit

import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bystanders import Others
from benchmarks.mesh import running

MIB = 1 << 20
KEY = "cm_" + 43 * "b"
_ENTERPRISE = "/api/v1/enterprise/controlnet"
_GENERATIONS = "/controlmesh/v1/generations"
_PIECE = 1 << 18
HEAD = ("attack", "health, longest wait", "picture, longest wait", "pictures", "refused", "gateway's memory")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console()


@dataclass(frozen=True)
class Target:
    """What is attacked: the mesh's edge, and how long at least."""

    host: str
    port: int
    seconds: float

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """A connection to the edge."""
        with socket.create_connection((self.host, self.port), timeout=70) as opened:
            yield opened

    def post(self, content_type: str, body: bytes, held_back: int = 0, path: str = _ENTERPRISE) -> None:
        """Send `body` without a key, but for its last `held_back` bytes, and wait for an answer or the end."""
        lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
        # A refusal may come before all was sent.
        with contextlib.suppress(OSError), self.connection() as opened:
            opened.sendall("\r\n".join([*lines, "\r\n"]).encode())
            view = memoryview(body)[: len(body) - held_back]
            for begin in range(0, len(view), _PIECE):
                opened.sendall(view[begin : begin + _PIECE])
            opened.recv(65_536)

    def again(self, work: Callable[[], None], at_once: int = 1) -> None:
        """Do `work` again and again until the time is over, in `at_once` threads."""
        end = time.monotonic() + self.seconds

        def repeat() -> None:
            while time.monotonic() < end:
                work()

        threads = [threading.Thread(target=repeat) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def nested_arrays(target: Target) -> None:
    """JSON of seven million empty arrays."""
    body = b'{"a":[' + b"[]," * (7 * MIB) + b"[]]}"
    target.again(lambda: target.post("application/json", body))


def deep_objects(target: Target) -> None:
    """JSON of three million objects, one inside the other."""
    body = b'{"a":' * (3 * MIB)
    target.again(lambda: target.post("application/json", body))


def many_keys(target: Target) -> None:
    """JSON with as many wrong keys as there may be fields."""
    body = b"{" + b",".join(b'"key":"wrong%d"' % number for number in range(1000)) + b"}"
    target.again(lambda: target.post("application/json", body), at_once=4)


def many_values(target: Target) -> None:
    """JSON with as many values as there may be."""
    body = b'{"a":[' + b'{"":""},' * 1600 + b"1]}"
    target.again(lambda: target.post("application/json", body), at_once=4)


def escaped_text(target: Target) -> None:
    """JSON of one text in which every character is escaped."""
    body = b'{"a":"' + b'\\"' * (11 * MIB) + b'"}'
    target.again(lambda: target.post("application/json", body), at_once=4)


def form_heads(target: Target) -> None:
    """A form of 200 parts whose heads have a name in 650 pieces."""
    pieces = "".join(f"; n*{number}=%41" for number in range(650))
    parts = (f"--a\r\nContent-Disposition: form-data{pieces}; name=x{part}\r\n\r\n1\r\n" for part in range(200))
    body = "".join(parts).encode() + b"--a--\r\n"
    target.again(lambda: target.post("multipart/form-data; boundary=a", body), at_once=4)


def short_form_heads(target: Target) -> None:
    """The same with as many pieces as a head may have."""
    pieces = "".join(f"; n*{number}*=" + "%41" * 30 for number in range(15))
    parts = (f"--a\r\nContent-Disposition: form-data{pieces}; name=x{part}\r\n\r\n1\r\n" for part in range(200))
    body = "".join(parts).encode() + b"--a--\r\n"
    target.again(lambda: target.post("multipart/form-data; boundary=a", body), at_once=4)


def near_boundaries(target: Target) -> None:
    """A form with four million lines that are nearly its boundary."""
    head = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n"
    body = head + b"\r\n--xy" * (3 * MIB) + b"\r\n--x--"
    target.again(lambda: target.post("multipart/form-data; boundary=x", body))


def line_breaks(target: Target) -> None:
    """A form of one part of six million beginnings of a boundary, from two connections."""
    body = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n" + b"\r\n--" * (23 * MIB // 4)
    target.again(lambda: target.post("multipart/form-data; boundary=x", body), at_once=2)


def percent_escapes(target: Target) -> None:
    """A form of 200 fields in which every character is escaped."""
    body = b"&".join([b"a=" + b"%41" * (MIB // 30)] * 200)
    target.again(lambda: target.post("application/x-www-form-urlencoded", body))


def held_bodies(target: Target) -> None:
    """Thirty bodies of 24 MiB without a key; the last bytes of each are held back."""
    body = b'{"a":"' + b"x" * (24 * MIB - 8) + b'"}'
    target.again(lambda: target.post("application/json", body, held_back=MIB), at_once=30)


def held_beginnings(target: Target) -> None:
    """Two hundred bodies without a key of which the first 64 KiB come."""
    body = b'{"a":"' + b"x" * (24 * MIB - 8) + b'"}'
    target.again(lambda: target.post("application/json", body, held_back=24 * MIB - (1 << 16)), at_once=200)


def wrong_keys_with_large_bodies(target: Target) -> None:
    """Bodies of 24 MiB where the key would be in a header."""
    body = b'{"prompt":"' + b"x" * (24 * MIB - 20) + b'"}'
    target.again(lambda: target.post("application/json", body, path=_GENERATIONS), at_once=4)


def silent_connections(target: Target) -> None:
    """Ten thousand connections of one address on which nothing is sent, opened anew whenever they end."""
    open_now, end = selectors.DefaultSelector(), time.monotonic() + target.seconds
    source = ("127.0.0.2", 0) if target.host == "127.0.0.1" else None

    def connect() -> None:
        with contextlib.suppress(OSError):
            silent = socket.create_connection((target.host, target.port), timeout=5, source_address=source)
            open_now.register(silent, selectors.EVENT_READ)

    for _ in range(10_050):
        connect()
    while time.monotonic() < end:
        for ended, _ in open_now.select(0.2):
            open_now.unregister(ended.fileobj)
            cast(socket.socket, ended.fileobj).close()
            connect()


Attack = Callable[[Target], None]
ATTACKS: Mapping[str, Attack] = {
    function.__name__.replace("_", " "): function
    for function in (
        nested_arrays,
        deep_objects,
        many_keys,
        many_values,
        escaped_text,
        form_heads,
        short_form_heads,
        near_boundaries,
        line_breaks,
        percent_escapes,
        held_bodies,
        held_beginnings,
        wrong_keys_with_large_bodies,
        silent_connections,
    )
}
"""Name -> what does it. They run one after the other, in this order."""


def measure(url: str, key: str, gateway: psutil.Process | None, name: str, seconds: float) -> tuple[str, ...]:
    """The table's row of an attack."""
    parts = urlsplit(url)
    target = Target(parts.hostname or "", parts.port or 80, seconds)
    with Others(url, key, gateway) as usual:
        time.sleep(seconds / 2)
    with Others(url, key, gateway) as seen:
        attacker = multiprocessing.get_context("spawn").Process(target=ATTACKS[name], args=(target,))
        attacker.start()
        attacker.join()
    return (
        name,
        f"{seen.health_s:.2f} s ({usual.health_s:.2f} s)",
        f"{seen.picture_s:.2f} s ({usual.picture_s:.2f} s)",
        str(seen.pictures),
        str(seen.refused),
        f"+{seen.grown / MIB:.0f} MiB" if gateway else "not seen",
    )


def markdown(rows: list[tuple[str, ...]], seconds: float, load: float) -> str:
    """The page."""
    where = f"{psutil.cpu_count()} cores, load {load:.1f} at the start, Python {platform.python_version()}"
    lines = [
        "# What others notice of an attack",
        "",
        f"Each attack lasts at least {seconds:g} s; {where}.",
        "One client asks `/healthz`, another makes pictures of 64 x 64 pixels in 2 steps; in brackets is how long they",
        "waited at most without the attack. Attacker, clients and the mesh share the machine. Memory is what the",
        "gateway's process grew by at its highest. Senders who never pause take their part of the processor: what is",
        "bounded is how long each of their requests keeps others waiting.",
        "`benchmarks/attacks.py` says what each attack sends. Written by `python -m benchmarks.attacks`.",
        "",
        f"| {' | '.join(HEAD)} |",
        "|" + " --- |" * len(HEAD),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


@contextmanager
def attacked(url: str, key: str, pid: int | None) -> Iterator[tuple[str, str, psutil.Process | None]]:
    """URL, key and gateway of the mesh at `url`, or of a new one if that is empty."""
    if url:
        yield url.rstrip("/"), key, psutil.Process(pid) if pid else None
        return
    os.environ["CN_GATEWAY_API_KEYS"] = KEY
    with tempfile.TemporaryDirectory() as scratch, running(Path("model_repository"), Path(scratch)) as mesh:
        yield mesh.url, KEY, psutil.Process(mesh.pid("gateway"))


@app.command()
def main(
    url: Annotated[str, typer.Option(help="Edge of a running mesh; without it, a new mesh is started.")] = "",
    key: Annotated[str, typer.Option(help="A key of that mesh; without it, none is sent.")] = "",
    pid: Annotated[int | None, typer.Option(help="Its gateway's process, to see its memory.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Name of an attack; all of them without it.")] = None,
    seconds: Annotated[float, typer.Option(help="How long each attack lasts at least.")] = 8.0,
    write: Annotated[Path | None, typer.Option(help="File for the table as Markdown.")] = None,
) -> None:
    """Attack a mesh without a key and print how long others waited."""
    names = only or list(ATTACKS)
    if unknown := [name for name in names if name not in ATTACKS]:
        raise typer.BadParameter(f"no attack is called {unknown[0]!r}; there are: {', '.join(ATTACKS)}")
    load, rows = psutil.getloadavg()[0], []
    with attacked(url, key, pid) as (edge, valid, gateway):
        for name in names:
            rows.append(measure(edge, valid, gateway, name, seconds))
            console.print(" | ".join(rows[-1]))
    table = Table(*HEAD)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if write:
        write.write_text(markdown(rows, seconds, load))


if __name__ == "__main__":
    app()
