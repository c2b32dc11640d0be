"""Run the canary periodically, and tell a dead model from a busy one."""

import asyncio
import time
from collections.abc import Callable, Iterable

import grpc
from prometheus_client import Counter, Gauge, Histogram

from mesh.telemetry import log
from model_server.canary import Answer, Canary, Count, covering
from model_server.canary_inputs import decodes

READY = Gauge("cn_model_server_ready", "1 while every model answers its canary.")
MISSES = Counter("cn_model_server_canary_misses_total", "Canary requests that a model failed.", ["model"])
SECONDS = Histogram("cn_model_server_canary_seconds", "Time of an answered canary request.", ["model"])

TRITON = "triton"
_LISTEN_S = 1.0


class ModelLost(Exception):
    """A model failed its canary so often that only a restart of the server helps."""


class Watch:
    """Sends a canary request to every model periodically.

    A model that answered real requests since the last round is skipped, unless it makes pictures. One that is late
    while its graphs still finish executions is busy, not dead, and counts as ready until `stall_s` passes without any.

    A load that fails at run time is the caller's fault and does not affect readiness, unless `required` names the
    model.

    Args:
        canary: the client of Triton.
        required: models that must be loaded; others are checked only while they are loaded.
        interval_s: seconds between rounds.
        misses: consecutive failures after which `run` raises.
        stall_s: seconds without a finished execution after which a late answer is a failure.
        clock: monotonic clock, seconds.
    """

    def __init__(
        self,
        canary: Canary,
        required: Iterable[str] = (),
        *,
        interval_s: float = 5.0,
        misses: int = 3,
        stall_s: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failing: dict[str, str] = {TRITON: "not checked yet"}
        self.silent = False
        self.models: tuple[str, ...] = ()
        self._canary = canary
        self._required = tuple(required)
        self._interval_s = interval_s
        self._limit = misses
        self._stall_s = stall_s
        self._clock = clock
        self._misses: dict[str, int] = {}
        self._unsound: set[str] = set()
        self._settled: dict[str, Count] = {}
        self._progress: dict[str, tuple[int, float]] = {}

    @property
    def ready(self) -> bool:
        """Whether every model passed the last round, and Triton has answered since."""
        return not self.failing and not self.silent

    async def listen(self) -> None:
        """Ask Triton every second whether it answers: a round that waits for a server that hangs takes much longer."""
        while True:
            self.silent = not await self._canary.is_alive()
            READY.set(self.ready)
            await asyncio.sleep(_LISTEN_S)

    async def run(self) -> None:
        """Run rounds until a model is lost. Raises ModelLost, naming it and its last fault."""
        while True:
            await self.round()
            for name, count in self._misses.items():
                if count >= self._limit:
                    raise ModelLost(
                        f"model {name!r} failed {count} consecutive canary requests: {self.failing.get(name)}"
                    )
            await asyncio.sleep(self._interval_s)

    async def round(self) -> None:
        """Check every model once, and update `ready`, `failing` and the metrics."""
        was_ready = self.ready
        try:
            ready, broken = await self._canary.states()
            targets = covering({name: await self._canary.config(name) for name in ready})
            counts = await self._canary.counts()
        except grpc.aio.AioRpcError as error:
            faults = {TRITON: f"does not answer ({error.code().name})"}
        else:
            self.models = ready
            self._note_progress(targets, counts)
            faults = {name: broken.get(name, "not loaded") for name in self._required if name not in ready}
            for name in targets:
                if fault := await self._fault(name, counts.get(name)):
                    faults[name] = fault
        # A model whose answers are unsound can't serve, and would not after a restart, which costs the others theirs.
        self._misses = {name: self._misses.get(name, 0) + 1 for name in faults if name not in self._unsound}
        self.failing = faults
        READY.set(self.ready)
        for name in faults:
            MISSES.labels(name).inc()
            log.warning("canary missed", model=name, misses=self._misses.get(name, 0), reason=faults[name])
        if self.ready and not was_ready:
            log.info("ready", models=list(self.models))

    async def _fault(self, name: str, count: Count | None) -> str:
        settled = self._settled.get(name)
        served = count and settled and count.answered > settled.answered and count.failed == settled.failed
        # That Triton answered says nothing of what it answered.
        if count and served and name not in self._unsound and not decodes(await self._canary.config(name)):
            self._settled[name] = count
            return ""
        started = self._clock()
        answer = await self._canary.ask(name)
        (self._unsound.add if answer.unsound else self._unsound.discard)(name)
        if not answer.fault:
            SECONDS.labels(name).observe(self._clock() - started)
        if count:
            # Triton counts the canary's own answer, too, unless it failed.
            own = 0 if answer.fault and not answer.unsound else 1
            self._settled[name] = Count(count.answered + own, count.failed, count.executions)
        return "" if self._busy(name, answer) else answer.fault

    def _note_progress(self, targets: dict[str, tuple[str, ...]], counts: dict[str, Count]) -> None:
        now = self._clock()
        for name, members in targets.items():
            done = sum(counts[member].executions for member in members if member in counts)
            if self._progress.get(name, (None, 0.0))[0] != done:
                self._progress[name] = (done, now)

    def _busy(self, name: str, answer: Answer) -> bool:
        return answer.late and self._clock() - self._progress[name][1] < self._stall_s
