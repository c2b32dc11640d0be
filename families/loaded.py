"""The models that a room serves: those found at its start, and those that came to the repository or went since."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from families.manifest import MANIFEST_FILE, Manifest, ManifestError, manifest_path, read_manifest
from mesh.errors import NotFound
from mesh.telemetry import log

Served = Callable[[Manifest], Awaitable[bool]]
"""Whether the model server has the graphs that a card speaks of."""


@dataclass(frozen=True)
class Difference:
    """What has changed in the repository.

    Attributes:
        come: cards that are new or were written anew.
        gone: cards that are served and lie there no more.
    """

    come: tuple[Manifest, ...] = ()
    gone: tuple[Manifest, ...] = ()


class LoadedModels(dict[str, Manifest]):
    """Name -> card.

    Args:
        manifests: cards of the repository.
        repository: folder to look for news in; None for never.
    """

    def __init__(self, manifests: Iterable[Manifest], repository: Path | None = None) -> None:
        super().__init__((manifest.name, manifest) for manifest in manifests)
        self._repository = repository
        self._written = {name: self._written_ns(name) for name in self}
        self._turn = 0

    def find(self, name: str) -> Manifest:
        """The card of `name`. Raises NotFound, naming those that are loaded."""
        if name not in self:
            raise NotFound(f"model {name!r} is not loaded; loaded: {', '.join(self) or 'none'}", field="model")
        return self[name]

    def exported_at(self, name: str) -> int:
        """When the card that is served was written, seconds since 1970; 0 if that is unknown."""
        return self._written.get(name, 0) // 1_000_000_000

    def difference(self) -> Difference:
        """What has changed since; a card counts as news until `adopt` or `drop` is told of it. Reads the folder.

        A card appears after the graphs it speaks of, and goes before them.
        """
        if self._repository is None:
            return Difference()
        there = {path.parent.name for path in self._repository.glob(f"*/{MANIFEST_FILE}")}
        changed = [name for name in sorted(there) if self._written_ns(name) != self._written.get(name)]
        come = [card for name in changed if (card := self._read(name)) is not None]
        return Difference(tuple(come), tuple(card for name, card in self.items() if name not in there))

    def adopt(self, card: Manifest) -> None:
        """Serve it, in place of one of its name."""
        self._written[card.name] = self._written_ns(card.name)
        self[card.name] = card
        log.info("model adopted", model=card.name)

    def drop(self, name: str) -> None:
        """Serve it no more."""
        self._written.pop(name, None)
        if self.pop(name, None):
            log.info("model dropped", model=name)

    async def renew(self, is_served: Served, dropped: Callable[[Manifest], Awaitable[object]] | None = None) -> None:
        """Drop what went, telling `dropped` of each, then adopt what came, once `is_served` is true of it."""
        difference = await asyncio.to_thread(self.difference)
        for card in difference.gone:
            self.drop(card.name)
            if dropped is not None:
                await dropped(card)
        for card in difference.come:
            if await is_served(card):
                self.adopt(card)

    async def seek(self, name: str, is_served: Served) -> Manifest:
        """The card of `name`, which may have come a moment ago; see `renew` and `find`."""
        if name not in self:
            await self.renew(is_served)
        return self.find(name)

    def in_turn(self) -> Manifest:
        """Another one of them at each call. Raises NotFound if there are none."""
        if not self:
            raise NotFound("no model is exported yet; run `make models`")
        self._turn += 1
        return list(self.values())[self._turn % len(self)]

    def _written_ns(self, name: str) -> int:
        if self._repository is None:
            return 0
        try:
            return manifest_path(self._repository, name).stat().st_mtime_ns
        except OSError:
            return 0

    def _read(self, name: str) -> Manifest | None:
        assert self._repository is not None
        try:
            return read_manifest(self._repository, name)
        except ManifestError as error:
            log.warning("card can't be read", model=name, reason=str(error))
            return None
