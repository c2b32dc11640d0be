"""The models that a service serves, kept up to date with the repository."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from families.manifest import MANIFEST_FILE, Manifest, ManifestError, manifest_path, read_manifest
from mesh.errors import NotFound
from mesh.telemetry import log

Served = Callable[[Manifest], Awaitable[bool]]
"""Whether the model server has loaded the graphs of a card."""


@dataclass(frozen=True)
class Difference:
    """What has changed in the repository.

    Attributes:
        added: cards that are new or were rewritten.
        removed: cards that are served but no longer in the repository.
    """

    added: tuple[Manifest, ...] = ()
    removed: tuple[Manifest, ...] = ()


class LoadedModels(dict[str, Manifest]):
    """Name -> card.

    Args:
        manifests: cards of the repository.
        repository: folder to watch for changes; None for a fixed set.
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
        """When the served card was written, seconds since 1970; 0 if unknown."""
        return self._written.get(name, 0) // 1_000_000_000

    def difference(self) -> Difference:
        """What has changed in the repository, until `adopt` or `drop` is called for it. Reads the folder.

        A card is written after its graphs and removed before them.
        """
        if self._repository is None:
            return Difference()
        present = {path.parent.name for path in self._repository.glob(f"*/{MANIFEST_FILE}")}
        changed = [name for name in sorted(present) if self._written_ns(name) != self._written.get(name)]
        added = [card for name in changed if (card := self._read(name)) is not None]
        return Difference(tuple(added), tuple(card for name, card in self.items() if name not in present))

    def adopt(self, card: Manifest) -> None:
        """Serve this card; it replaces one of the same name."""
        self._written[card.name] = self._written_ns(card.name)
        self[card.name] = card
        log.info("model adopted", model=card.name)

    def drop(self, name: str) -> None:
        """Stop serving the model."""
        self._written.pop(name, None)
        if self.pop(name, None):
            log.info("model dropped", model=name)

    async def renew(self, is_served: Served, dropped: Callable[[Manifest], Awaitable[object]] | None = None) -> None:
        """Drop the removed models, awaiting `dropped` for each, then adopt those added ones that `is_served`."""
        difference = await asyncio.to_thread(self.difference)
        for card in difference.removed:
            self.drop(card.name)
            if dropped is not None:
                await dropped(card)
        for card in difference.added:
            if await is_served(card):
                self.adopt(card)

    async def seek(self, name: str, is_served: Served) -> Manifest:
        """The card of `name`, even if it was exported only a moment ago; see `renew` and `find`."""
        if name not in self:
            await self.renew(is_served)
        return self.find(name)

    def in_turn(self) -> Manifest:
        """The next model, round robin. Raises NotFound if there are none."""
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
