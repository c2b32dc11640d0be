"""Words to put around a prompt: styles and quality words, from `styles.toml`."""

import re
from dataclasses import dataclass
from importlib.resources import files

import msgspec

from mesh.suggestions import did_you_mean, listed

_PLACE = "{prompt}"
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
# The characters of prompt weights: a style must mean the same with and without weighting.
_MARKS = re.compile(r"[()\[\]\\{}]")
_MOST_LISTED = 8
_MOST_QUOTED = 40


class Style(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One style.

    Args:
        prompt: pattern of the prompt; `{prompt}` stands for the caller's, once.
        negative_prompt: text to append to the negative prompt; empty for none.
    """

    prompt: str
    negative_prompt: str = ""


@dataclass(frozen=True, slots=True)
class Enhanced:
    """The enhanced prompts, and notes for the caller."""

    prompt: str
    negative_prompt: str
    notes: list[str]


class StyleBook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every style by its name, and the quality words.

    Raises:
        ValueError: a name that is not a slug, a pattern without exactly one `{prompt}`, or brackets in the text.
    """

    quality: str
    styles: dict[str, Style]

    def __post_init__(self) -> None:
        for name, style in self.styles.items():
            if not _SLUG.fullmatch(name):
                raise ValueError(f"style {name!r}: the name must have lower-case letters, digits and single '-' only")
            if style.prompt.count(_PLACE) != 1:
                raise ValueError(f"style {name!r}: its prompt must contain {_PLACE} exactly once")
        words = (self.quality, *(text for s in self.styles.values() for text in (s.prompt, s.negative_prompt)))
        for text in words:
            if _MARKS.search(text.replace(_PLACE, "")):
                raise ValueError(f"styles must not contain brackets or backslashes: {text!r}")

    def enhance(self, prompt: str, negative_prompt: str, quality: bool, style: str) -> Enhanced:
        """Add the requested words to the prompts; without any the prompts stay as they are.

        Args:
            prompt, negative_prompt: of the caller.
            quality: whether to append the quality words.
            style: name of a style; empty for none. An unknown one changes nothing and gives a note.
        """
        notes = []
        if chosen := self.styles.get(style):
            # If the prompt is empty, remove the commas that would join it to the style's words.
            prompt = chosen.prompt.replace(_PLACE, prompt).strip(" ,")
            negative_prompt = _joined(negative_prompt, chosen.negative_prompt)
        elif style:
            notes.append(
                f"enhance_style {style[:_MOST_QUOTED]!r} is unknown, so no style was applied"
                f"{did_you_mean(style, self.styles) or ';'} known: {listed(sorted(self.styles), _MOST_LISTED)}"
            )
        if quality:
            prompt = _joined(prompt, self.quality)
        return Enhanced(prompt, negative_prompt, notes)


def load_styles() -> StyleBook:
    """Load and check the styles that ship with the service.

    Raises:
        msgspec.ValidationError: the file is not a valid StyleBook.
    """
    return msgspec.toml.decode(files("preprocess_svc").joinpath("styles.toml").read_bytes(), type=StyleBook)


def _joined(*texts: str) -> str:
    return ", ".join(text for text in texts if text)
