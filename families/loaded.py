"""The models that a room found at its start."""

from collections.abc import Iterable

from families.manifest import Manifest
from mesh.errors import NotFound


class LoadedModels(dict[str, Manifest]):
    """Name -> card.

    Args:
        manifests: cards of the repository.
    """

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        super().__init__((manifest.name, manifest) for manifest in manifests)

    def find(self, name: str) -> Manifest:
        """The card of `name`. Raises NotFound, naming those that are loaded."""
        if name not in self:
            raise NotFound(f"model {name!r} is not loaded; loaded: {', '.join(self) or 'none'}", field="model")
        return self[name]
