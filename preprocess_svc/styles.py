"""Words that may be put around a prompt: those of quality, and styles. They stand in `styles.toml`."""

import re
from dataclasses import dataclass
from importlib.resources import files

import msgspec

_PLACE = "{prompt}"
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
# What a prompt's weights are written with: a style must read the same with and without them.
_MARKS = re.compile(r"[()\[\]\\{}]")
_MOST_QUOTED = 40


class Style(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One style.

    Args:
        prompt: pattern of the prompt; `{prompt}` stands for the caller's, once.
        negative_prompt: words to append to the negative prompt; empty for none.
    """

    prompt: str
    negative_prompt: str = ""


@dataclass(frozen=True, slots=True)
class Enhanced:
    """Prompts with words around them, and remarks."""

    prompt: str
    negative_prompt: str
    notes: list[str]


class StyleBook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every style by its name, and the words of quality.

    Raises:
        ValueError: a name that is no slug, a pattern without exactly one `{prompt}`, or brackets among the words.
    """

    quality: str
    styles: dict[str, Style]

    def __post_init__(self) -> None:
        for name, style in self.styles.items():
            if not _SLUG.fullmatch(name):
                raise ValueError(f"style {name!r}: a name has lower-case letters, digits and single '-'")
            if style.prompt.count(_PLACE) != 1:
                raise ValueError(f"style {name!r}: its prompt must hold {_PLACE} exactly once")
        words = (self.quality, *(text for s in self.styles.values() for text in (s.prompt, s.negative_prompt)))
        for text in words:
            if _MARKS.search(text.replace(_PLACE, "")):
                raise ValueError(f"no brackets and backslashes in the words of styles: {text!r}")

    def enhance(self, prompt: str, negative_prompt: str, quality: bool, style: str) -> Enhanced:
        """The prompts with the words that were asked for, as they are, if none were.

        Args:
            prompt, negative_prompt: the caller's.
            quality: whether to append the words of quality.
            style: name of a style; empty for none. An unknown one changes nothing and gives a note.
        """
        notes = []
        if chosen := self.styles.get(style):
            # Words that lean on a prompt by a comma stand alone where it is empty.
            prompt = chosen.prompt.replace(_PLACE, prompt).strip(" ,")
            negative_prompt = _joined(negative_prompt, chosen.negative_prompt)
        elif style:
            notes.append(
                f"style {style[:_MOST_QUOTED]!r} is unknown, so no style was taken; ListStyles names those that exist"
            )
        if quality:
            prompt = _joined(prompt, self.quality)
        return Enhanced(prompt, negative_prompt, notes)


def load_styles() -> StyleBook:
    """The styles that ship with the service, checked.

    Raises:
        msgspec.ValidationError: the file does not hold what a StyleBook does, or breaks its rules.
    """
    return msgspec.toml.decode(files("preprocess_svc").joinpath("styles.toml").read_bytes(), type=StyleBook)


def _joined(*texts: str) -> str:
    return ", ".join(text for text in texts if text)
