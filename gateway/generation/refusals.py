"""Refusals of what does not exist, or is not available here: unknown is another case than unavailable."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.generation.foreign import choices, meant
from mesh.errors import InvalidInput


class Remediable(InvalidInput):
    """An error that an administrator can remedy by a command.

    Args:
        message, field: as in MeshError.
        command: the command; it is for administrators alone and not part of the message.
    """

    def __init__(self, message: str, *, field: str | None, command: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, field=field, retry_after_s=retry_after_s)
        self.command = command


@dataclass(frozen=True)
class Refusal:
    """Why a model can't be steered by one kind of control; each dialect words it with its own names of the kinds.

    Attributes:
        reason: the start of a sentence.
        remedies: what would change it, in preprocess_svc's words, such as the command that exports an annotator.
        stand_ins: names of crude extractors, which are used only if a request names them.
        offered: how `kinds` relate to the model: "it has" or "can be extracted".
        kinds: kinds that can be requested instead.
        ready_taken: whether a ready hint of the kind is accepted.
        is_unknown: whether there is no such kind at all.
        command: what an administrator can run to change it; "" for nothing. Not part of the sentence.
    """

    reason: str
    offered: str
    kinds: tuple[str, ...]
    remedies: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()
    ready_taken: bool = False
    is_unknown: bool = False
    command: str = ""

    def sentence(self, names: Sequence[str], *ways: str, sent: str = "") -> str:
        """The whole explanation.

        Args:
            names: the dialect's names of `kinds`.
            ways: alternatives that the dialect offers its clients.
            sent: the name that was sent, in case it is unknown but close to one of `names`.
        """
        if self.is_unknown and (found := meant("kind", sent, names)):
            return f"{self.reason}; did you mean {found}? {self.offered}: {', '.join(names)}"
        reasons = "; or ".join((*self.remedies, *ways))
        why = f"{self.reason}: {reasons}" if reasons else self.reason
        return f"{why}; {self.offered}: {', '.join(names) or 'none'}"

    def error(self, message: str, field: str) -> InvalidInput:
        """The error with `message`, and with the command for those who may run it."""
        return Remediable(message, field=field, command=self.command)


def unknown(field: str, sent: str, known: Sequence[str], reason: str = "") -> InvalidInput:
    """The error for a name that does not exist, with the likely one first."""
    end = choices(field, sent, known, "available")
    return InvalidInput(f"{field} {sent!r} can't be used: {reason or 'it is unknown'}{end}", field=field)
