import msgspec
import pytest

from preprocess_svc.styles import Style, StyleBook, load_styles
from preprocess_svc.weighting import parse

BOOK = StyleBook(
    quality="sharp", styles={"ink": Style("ink drawing of {prompt}, bold", "photo"), "bare": Style("{prompt}, b")}
)


def test_the_shipped_styles_are_well_formed() -> None:
    book = load_styles()
    assert 40 <= len(book.styles) <= 200
    assert list(book.styles) == sorted(book.styles)
    families = {name.split("-")[0] for name in book.styles}
    assert families >= {"ads", "artstyle", "futuristic", "game", "misc", "papercraft", "photo"}
    assert book.styles.keys() >= {
        *("anime", "cinematic", "photographic", "pixel-art", "neonpunk", "lowpoly", "line-art", "comic-book"),
        *("fantasy-art", "isometric", "origami", "watercolor"),
    }
    patterns = [style.prompt for style in book.styles.values()]
    assert len(set(patterns)) == len(patterns)
    for style in book.styles.values():
        assert style.negative_prompt
        for text in (style.prompt, style.negative_prompt, book.quality):
            assert text.isascii()
            assert text == text.strip(" ,")
            assert [(piece.text, piece.weight) for piece in parse(text)] == [(text, 1.0)]


@pytest.mark.parametrize(
    ("quality", "style", "prompt", "negative_prompt"),
    [
        (False, "", "a (cat:1.2)", "dog"),
        (True, "", "a (cat:1.2), sharp", "dog"),
        (False, "ink", "ink drawing of a (cat:1.2), bold", "dog, photo"),
        (True, "ink", "ink drawing of a (cat:1.2), bold, sharp", "dog, photo"),
        (True, "bare", "a (cat:1.2), b, sharp", "dog"),
    ],
)
def test_prompts_get_the_words_asked_for(quality: bool, style: str, prompt: str, negative_prompt: str) -> None:
    enhanced = BOOK.enhance("a (cat:1.2)", "dog", quality, style)
    assert (enhanced.prompt, enhanced.negative_prompt, enhanced.notes) == (prompt, negative_prompt, [])


def test_empty_prompts_get_words_without_loose_commas() -> None:
    enhanced = BOOK.enhance("", "", True, "bare")
    assert (enhanced.prompt, enhanced.negative_prompt) == ("b, sharp", "")
    assert BOOK.enhance("", "", False, "ink").negative_prompt == "photo"


def test_braces_of_a_prompt_are_text() -> None:
    assert BOOK.enhance("{prompt} {0} {x", "", False, "bare").prompt == "{prompt} {0} {x, b"


def test_an_unknown_style_changes_nothing_and_is_said() -> None:
    enhanced = BOOK.enhance("cat", "dog", False, "x" * 10_000)
    assert (enhanced.prompt, enhanced.negative_prompt) == ("cat", "dog")
    [note] = enhanced.notes
    assert "unknown" in note
    assert note.endswith("known: bare, ink")
    assert len(note) < 200


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("Ink", 'prompt = "{prompt}"', "lower-case"),
        ("ink", 'prompt = "no place"', "exactly once"),
        ("ink", 'prompt = "{prompt} {prompt}"', "exactly once"),
        ("ink", 'prompt = "({prompt}:1.2)"', "brackets"),
        ("ink", 'prompt = "{prompt}"\nnegative_prompt = "[x]"', "brackets"),
        ("ink", 'prompt = "{prompt}"\nnegative = "x"', "unknown field"),
        ("ink", 'negative_prompt = "x"', "missing required field"),
    ],
)
def test_a_wrong_file_is_refused_at_the_start(name: str, text: str, words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.toml.decode(f'quality = "q"\n[styles.{name}]\n{text}\n', type=StyleBook)
