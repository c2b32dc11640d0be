"""Unions: one ControlNet for several kinds of hints."""

from collections.abc import Iterable


def union_kinds(modes: Iterable[Iterable[str]]) -> dict[str, int | None]:
    """Kind -> mode, from the kinds of each mode in the order of the modes."""
    return {kind: mode for mode, kinds in enumerate(modes) for kind in kinds}
