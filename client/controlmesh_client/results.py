"""What the client gives back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from controlmesh_client.pictures import Picture, from_data_url, media_type
from controlmesh_client.schema import GenerationRecord, HintAnswer


@dataclass(frozen=True)
class GeneratedPicture(Picture):
    """One finished picture.

    Attributes:
        seed: makes exactly this picture.
        width, height: pixels.
        url: where the mesh keeps it, for a while.
        notes: remarks about the whole generation.
        request: makes exactly this picture again: `mesh.generate(**picture.request)`.
    """

    seed: int = 0
    width: int = 0
    height: int = 0
    url: str = ""
    notes: tuple[str, ...] = ()
    request: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Generation:
    """Finished pictures, in the order of their seeds.

    Attributes:
        pictures: all of them; `generation[0]`, `len(generation)` and `for picture in generation` reach them, too.
        record: what the mesh knows of the generation.
        request: makes the same pictures again: `mesh.generate(**generation.request)`.
    """

    pictures: tuple[GeneratedPicture, ...]
    record: GenerationRecord = field(repr=False)
    request: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """Of the generation."""
        return self.record["id"]

    @property
    def seed(self) -> int:
        """Of the first picture."""
        return self.record["request"]["seed"]

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks, such as an option that the scheduler can't take."""
        return tuple(self.record["notes"])

    def __getitem__(self, place: int) -> GeneratedPicture:
        return self.pictures[place]

    def __iter__(self) -> Iterator[GeneratedPicture]:
        return iter(self.pictures)

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True)
class Hint(Picture):
    """A finished hint, PNG.

    Attributes:
        answer: what the mesh told of it beside the picture.
    """

    answer: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: HintAnswer) -> "Hint":
        """The hint in an answer of the mesh. ValueError, KeyError."""
        content = from_data_url(answer["image"])
        known = {name: value for name, value in answer.items() if name != "image"}
        return cls(content, media_type(content), known)

    @property
    def kind(self) -> str:
        """Of the control that it is for."""
        return str(self.answer["kind"])

    @property
    def annotator(self) -> str:
        """Name of the model that found it, "" for none."""
        return self.answer["annotator"] or ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks, such as that a stand-in made it."""
        return tuple(self.answer["notes"])


@dataclass(frozen=True)
class Preview(Picture):
    """How a picture looks on the way.

    Attributes:
        picture: which of the generation's it is, from 0.
        step: that it was taken after.
    """

    picture: int = 0
    step: int = 0


@dataclass(frozen=True)
class Progress:
    """A moment of a generation.

    Attributes:
        done, of: model calls so far and in all, over all pictures.
        status: `queued`, `running` or, where the mesh had to be polled, how it ended.
        eta_s: seconds that the rest will take at the pace so far; None before there is one.
        preview: where one was asked for with `preview_every` and is new.
    """

    done: int
    of: int
    status: str
    eta_s: float | None = None
    preview: Preview | None = None

    @classmethod
    def of_event(cls, told: Mapping[str, Any]) -> "Progress":
        """What an event of the mesh tells. KeyError, ValueError."""
        preview = None
        if "preview" in told:
            content = from_data_url(told["preview"])
            preview = Preview(content, media_type(content), told["preview_of"], told["preview_step"])
        return cls(told["step"], told["steps"], told["status"], told.get("eta_s"), preview)

    @classmethod
    def of_record(cls, record: GenerationRecord) -> "Progress":
        """What a record tells."""
        return cls(record["progress"]["step"], record["progress"]["steps"], record["status"])
