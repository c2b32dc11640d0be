"""Results that the client returns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from controlmesh_client.pictures import Picture, from_data_url, media_type
from controlmesh_client.schema import GenerationRecord, HintAnswer


@dataclass(frozen=True)
class GeneratedPicture(Picture):
    """A finished picture.

    Attributes:
        seed: seed that reproduces exactly this picture.
        width, height: pixels.
        url: URL of the picture, until it expires.
        notes: remarks about the whole generation.
        request: reproduces exactly this picture: `mesh.generate(**picture.request)`.
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
        pictures: all pictures; `generation[0]`, `len(generation)` and `for picture in generation` work too.
        record: the generation's record.
        request: reproduces the same pictures: `mesh.generate(**generation.request)`.
    """

    pictures: tuple[GeneratedPicture, ...]
    record: GenerationRecord = field(repr=False)
    request: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """Id of the generation."""
        return self.record["id"]

    @property
    def seed(self) -> int:
        """Seed of the first picture."""
        return self.record["request"]["seed"]

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks, such as an option that the scheduler does not support."""
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
        answer: the mesh's answer without the picture.
    """

    answer: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: HintAnswer) -> "Hint":
        """The hint in the mesh's answer. ValueError, KeyError."""
        content = from_data_url(answer["image"])
        known = {name: value for name, value in answer.items() if name != "image"}
        return cls(content, media_type(content), known)

    @property
    def kind(self) -> str:
        """Kind of the control that it is for."""
        return str(self.answer["kind"])

    @property
    def annotator(self) -> str:
        """Name of the extractor's model; "" for none."""
        return self.answer["annotator"] or ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks, such as that a stand-in made it."""
        return tuple(self.answer["notes"])


@dataclass(frozen=True)
class Preview(Picture):
    """A preview of an unfinished picture.

    Attributes:
        picture: number of the picture, from 0.
        step: step after which it was made.
    """

    picture: int = 0
    step: int = 0


@dataclass(frozen=True)
class Progress:
    """Progress of a generation.

    Attributes:
        done, of: model calls done and in total, over all pictures.
        status: `queued`, `running`, or, if the mesh had to be polled, the final status.
        eta_s: estimated seconds left; None before the first step.
        preview: a new preview, if requested with `preview_every`.
    """

    done: int
    of: int
    status: str
    eta_s: float | None = None
    preview: Preview | None = None

    @classmethod
    def of_event(cls, told: Mapping[str, Any]) -> "Progress":
        """Parse an event. KeyError, ValueError."""
        preview = None
        if "preview" in told:
            content = from_data_url(told["preview"])
            preview = Preview(content, media_type(content), told["preview_of"], told["preview_step"])
        return cls(told["step"], told["steps"], told["status"], told.get("eta_s"), preview)

    @classmethod
    def of_record(cls, record: GenerationRecord) -> "Progress":
        """Derive it from a record."""
        return cls(record["progress"]["step"], record["progress"]["steps"], record["status"])
