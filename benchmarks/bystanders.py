"""Clients of a mesh that is attacked, who have nothing to do with it: how long they wait, what they are refused."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx2
import psutil

_GENERATIONS = "/controlmesh/v1/generations"
_SMALL = {"prompt": "a red circle", "steps": 2, "width": 64, "height": 64, "format": "png"}


@dataclass
class Seen:
    """What others saw: the longest waits in seconds, how many pictures were made and requests refused; the most bytes
    that the gateway grew by."""

    health_s: float = 0.0
    picture_s: float = 0.0
    pictures: int = 0
    refused: int = 0
    grown: int = 0


@dataclass
class Others:
    """Two clients of the mesh, and somebody who looks at the gateway's memory, while the context is open."""

    url: str
    key: str
    gateway: psutil.Process | None
    seen: Seen = field(default_factory=Seen)

    def __enter__(self) -> Seen:
        self._end = threading.Event()
        self._before = self.gateway.memory_info().rss if self.gateway else 0
        self._threads = [threading.Thread(target=work) for work in (self._health, self._pictures, self._memory)]
        for thread in self._threads:
            thread.start()
        return self.seen

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _health(self) -> None:
        with httpx2.Client(base_url=self.url, timeout=120) as client:
            while not self._end.wait(0.01):
                began = time.monotonic()
                self._count(_status(client, "GET", "/healthz"))
                self.seen.health_s = max(self.seen.health_s, time.monotonic() - began)

    def _pictures(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        with httpx2.Client(base_url=self.url, timeout=120, headers=headers) as client:
            while not self._end.is_set():
                began = time.monotonic()
                status = _status(client, "POST", f"{_GENERATIONS}?wait=60", _SMALL)
                self._count(status)
                self.seen.picture_s = max(self.seen.picture_s, time.monotonic() - began)
                self.seen.pictures += status == 200

    def _memory(self) -> None:
        while self.gateway and not self._end.wait(0.02):
            self.seen.grown = max(self.seen.grown, self.gateway.memory_info().rss - self._before)

    def _count(self, status: int) -> None:
        self.seen.refused += status != 200


def _status(client: httpx2.Client, method: str, path: str, body: Mapping[str, object] | None = None) -> int:
    """Status of the answer; 0 if there is none."""
    try:
        return client.request(method, path, json=body).status_code
    except httpx2.HTTPError:
        return 0
