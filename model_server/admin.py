"""The model server's HTTP endpoints: /healthz, /readyz and /metrics."""

import json
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from model_server.watch import TRITON, Watch

Start = Callable[[str, list[tuple[str, str]]], Any]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing: probes come every few seconds, and the watch logs every change."""


def admin_app(watch: Watch) -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    """A WSGI application that answers from the last result of `watch`; no request starts an inference."""
    metrics = make_wsgi_app()

    def healthz() -> tuple[bool, dict[str, Any]]:
        return True, {"alive": True}

    def readyz() -> tuple[bool, dict[str, Any]]:
        silent = {TRITON: "does not answer"} if watch.silent else {}
        return watch.ready, {"ready": watch.ready, "models": list(watch.models), "failing": watch.failing | silent}

    pages = {"/healthz": healthz, "/readyz": readyz}

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, start)  # type: ignore[no-any-return]
        if path not in pages:
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/healthz, /readyz or /metrics\n"]
        good, body = pages[path]()
        start("200 OK" if good else "503 Service Unavailable", [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    return app


def serve_admin(watch: Watch, host: str, port: int) -> Callable[[], None]:
    """Listen in a thread; call the result to stop it. Raises OSError if the port is in use."""
    server = make_server(host, port, admin_app(watch), _Server, _Quiet)
    thread = threading.Thread(target=server.serve_forever, name="admin", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
