"""Pictures are decoded in processes that can be killed: limits of time and memory each, a bound on pixels in flight.

The processes come from pebble's pool: a task that runs too long, or whose caller left, is ended with its process. They
are forked from a small server process that has imported codecs and nothing else.
"""

import asyncio
import ctypes
import multiprocessing
import resource
import signal
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from pebble import ProcessExpired, ProcessPool
from prometheus_client import Counter

from mesh.containers import MAX_PIXELS, examined
from mesh.errors import InvalidInput, Unavailable
from mesh.parcel import Parcel
from mesh.pixel_budget import PixelBudget
from mesh.server import ServerSettings
from mesh.settings import SettingsError, setting
from mesh.telemetry import log

P = ParamSpec("P")
T = TypeVar("T")

DECODES = Counter("cn_decodes_total", "Pictures given to decoders, by how it ended.", ["outcome"])

# A process takes so many pictures, then a fresh one takes its place.
_TASKS = 500
# Seconds after the limit at which a process ends itself, should nobody be left to end it.
_BEYOND_S = 2.0
_TRIES = 4
# glibc's mallopt: what ordinary pictures take is kept for the next one, since fresh pages cost as much as decoding;
# larger blocks go back to the system at once.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _KEPT = -1, -3, 16 << 20


class Decoding(Protocol):
    """Somewhere pictures are decoded."""

    async def run(
        self,
        work: Callable[Concatenate[bytes, P], T],
        content: bytes,
        field: str,
        /,
        *args: P.args,
        **named: P.kwargs,
    ) -> T:
        """`work(content, ...)` for a picture; `field` is its name in the request, for errors.

        Raises:
            InvalidInput: the picture is not acceptable, or takes too much time or memory.
            MeshError: as `work`.
        """
        ...


class Threads:
    """Decodes in threads of this process: for tests, and for pictures that are our own."""

    async def run(
        self,
        work: Callable[Concatenate[bytes, P], T],
        content: bytes,
        field: str,
        /,
        *args: P.args,
        **named: P.kwargs,
    ) -> T:
        """As `Decoding.run`."""
        return await asyncio.to_thread(work, content, *args, **named)


@dataclass(frozen=True)
class DecoderSettings(ServerSettings):
    """Settings of every service that decodes clients' pictures."""

    decoders: int = setting(2, "Processes that decode pictures.", env="CN_DECODERS")
    decode_s: float = setting(
        15.0, "Seconds that decoding one picture may take; then its process is ended.", env="CN_DECODE_S"
    )
    decode_mib: int = setting(
        384, "MiB that decoding may take in one process, beside what it holds at rest.", env="CN_DECODE_MIB"
    )
    decode_pixels: int = setting(
        2 * MAX_PIXELS, "Pixels of the pictures that are decoded at the same time.", env="CN_DECODE_PIXELS"
    )
    decode_waiting: int = setting(
        128, "Pictures that may wait to be decoded; beyond this callers get RESOURCE_EXHAUSTED.",
        env="CN_DECODE_WAITING",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Raises SettingsError for limits under which the largest picture could not be decoded."""
        super().__post_init__()
        for name, value, least in (
            ("CN_DECODERS", self.decoders, 1),
            ("CN_DECODE_S", self.decode_s, 1),
            ("CN_DECODE_MIB", self.decode_mib, 256),
            ("CN_DECODE_PIXELS", self.decode_pixels, MAX_PIXELS),
            ("CN_DECODE_WAITING", self.decode_waiting, 0),
        ):
            if value < least:
                raise SettingsError(f"{name}={value} is too small; it must be at least {least}")


class Decoders:
    """Processes that decode pictures. Pictures that don't fit into the budget wait, first come, first served.

    Args:
        settings: their number and limits.
        modules: what they import before they are asked anything: where the functions are that `run` is given.
    """

    def __init__(self, settings: DecoderSettings, modules: tuple[str, ...] = ("mesh.pictures",)) -> None:
        self._settings = settings
        self._modules = modules
        self._budget = PixelBudget(settings.decode_pixels, settings.decoders, settings.decode_waiting)
        self._pool: ProcessPool | None = None
        self._is_closed = False
        self._ending: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start the processes and wait until one has answered; if none does, the first picture starts others."""
        pool = self._running()
        try:
            await self._answer(pool, _nothing, (), {})
        except (FutureTimeout, ProcessExpired, BrokenProcessPool) as error:
            log.warning("decoders did not answer at the start", reason=type(error).__name__)
            self._discard(pool)

    async def close(self) -> None:
        """End the processes, whatever they are doing."""
        self._is_closed = True
        if self._pool is not None:
            self._discard(self._pool)
        await asyncio.gather(*self._ending)

    async def run(
        self,
        work: Callable[Concatenate[bytes, P], T],
        content: bytes,
        field: str,
        /,
        *args: P.args,
        **named: P.kwargs,
    ) -> T:
        """As `Decoding.run`. Cancelling it ends the process that decodes.

        Args:
            work: a function of one of `modules`; it returns what travels back, so it should be small.

        Raises:
            Overloaded: too many pictures wait.
        """
        layout = await examined(content, field=field)
        pixels = layout.width * layout.height
        await self._budget.take(pixels)
        try:
            with Parcel(content, field) as parcel:
                return await self._settled(parcel, work, args, named)
        finally:
            self._budget.give(pixels)

    async def _settled(self, parcel: Parcel, work: Callable[..., T], args: tuple[Any, ...], named: Any) -> T:
        # Whatever ended a process may have had nothing to do with this picture, so others have a try at it.
        deaths = 0
        for _ in range(_TRIES):
            pool = self._running()
            try:
                made: T = parcel.opened(await self._answer(pool, parcel.task(work), args, named))
            except asyncio.CancelledError:
                DECODES.labels("left").inc()
                raise
            except FutureTimeout:
                DECODES.labels("too slow").inc()
                raise InvalidInput(
                    f"{parcel.field} takes more than {self._settings.decode_s:g} seconds to decode; save it anew",
                    field=parcel.field,
                ) from None
            except MemoryError:
                DECODES.labels("too large").inc()
                raise InvalidInput(
                    f"{parcel.field} takes more memory than a picture may; save it anew", field=parcel.field
                ) from None
            except (ProcessExpired, BrokenProcessPool) as error:
                DECODES.labels("died").inc()
                log.warning("a decoder ended", reason=type(error).__name__, code=getattr(error, "exitcode", None))
                if not isinstance(error, ProcessExpired):
                    self._discard(pool)
                    continue
                deaths += 1
                if deaths > 1:
                    raise InvalidInput(
                        f"cannot decode the picture in {parcel.field}; save it anew", field=parcel.field
                    ) from None
            except InvalidInput:
                DECODES.labels("refused").inc()
                raise
            else:
                DECODES.labels("done").inc()
                return made
        raise Unavailable("pictures can't be decoded at the moment; try again in a few seconds", retry_after_s=2)

    async def _answer(self, pool: ProcessPool, work: Callable[..., Any], args: tuple[Any, ...], named: Any) -> Any:
        limit_s = self._settings.decode_s
        try:
            future = pool.schedule(_timed, args=(work, limit_s + _BEYOND_S, args, named), timeout=limit_s)
        except RuntimeError as error:
            raise BrokenProcessPool(str(error)) from None
        answer = asyncio.wrap_future(future)
        try:
            done, _ = await asyncio.wait((answer,), timeout=limit_s + 2 * _BEYOND_S)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        if not done:
            # A process that was killed from outside while it held the pool's lock: no other gets a picture any more.
            answer.cancel()
            raise BrokenProcessPool("no answer")
        return answer.result()

    def _running(self) -> ProcessPool:
        if self._is_closed:
            raise Unavailable("this service is shutting down; send the request again", retry_after_s=1)
        if self._pool is not None and not self._pool.active:
            self._discard(self._pool)
        if self._pool is None:
            self._pool = self._started()
        return self._pool

    def _discard(self, pool: ProcessPool) -> None:
        if pool is self._pool:
            self._pool = None
            ending = asyncio.create_task(asyncio.to_thread(_ended, pool))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    def _started(self) -> ProcessPool:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, *self._modules])
        return ProcessPool(
            max_workers=self._settings.decoders,
            max_tasks=_TASKS,
            initializer=_limit,
            initargs=(self._settings.decode_mib * 1024 * 1024,),
            context=context,
        )


def _limit(memory: int) -> None:
    """Limit this process: its address space, and what it keeps of memory that was given back."""
    # Python's own handler would wait for the decoder that it is to stop.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _KEPT)
    libc.mallopt(_M_TRIM_THRESHOLD, 2 * _KEPT)
    with open("/proc/self/statm") as file:
        held = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _timed(work: Callable[..., T], beyond_s: float, args: tuple[Any, ...], named: Any) -> T:
    # If the service is killed, nobody is left to end this process.
    signal.setitimer(signal.ITIMER_REAL, beyond_s)
    try:
        return work(*args, **named)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _nothing() -> None:
    return None


def _ended(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]
    pool.join()
