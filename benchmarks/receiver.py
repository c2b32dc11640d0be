"""A webhook receiver on loopback that records what it receives."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Heard:
    """The webhooks received so far.

    Attributes:
        url: where it listens.
        bodies: webhook id -> first body received.
        paths: webhook id -> path at which it was received.
        calls: number of requests, including repetitions.
    """

    url: str = ""
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    calls: int = 0
    news: threading.Condition = field(default_factory=threading.Condition)

    def until(self, messages: int, seconds: float) -> bool:
        """Wait until `messages` different webhooks have been received."""
        return self.until_all(lambda: len(self.bodies) >= messages, seconds)

    def until_all(self, came: Callable[[], bool], seconds: float) -> bool:
        """Wait until `came` returns true."""
        with self.news:
            return self.news.wait_for(came, seconds)


@contextmanager
def receiver() -> Iterator[Heard]:
    """Run a receiver that answers 204 inside the context."""
    heard = Heard()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with heard.news:
                heard.calls += 1
                heard.bodies.setdefault(self.headers["webhook-id"], body)
                heard.paths.setdefault(self.headers["webhook-id"], self.path)
                heard.news.notify_all()
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    heard.url = f"http://127.0.0.1:{server.server_address[1]}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield heard
    finally:
        server.shutdown()
        server.server_close()
