"""Tags of the web UI in prompts: found, left out, said; a prompt of tags alone is empty."""

import pytest

from mesh.prompt_tags import is_empty, note, without_tags


@pytest.mark.parametrize(
    ("tagged", "tags"),
    [
        ("red star", 0),
        ("red star <lora:add_detail:0.8>", 1),
        ("<lora:a> red star<LoRA:b c (x):0.5:1>", 2),
        ("red <lyco:soft:1>star", 1),
        ("<hypernet:old:0.5>red star<lora:a:1><lora:b:1>", 3),
        ("red < lora : spaced : 1 >star", 1),
    ],
)
def test_tags_are_left_out_with_the_blanks_at_the_ends(tagged: str, tags: int) -> None:
    text, found = without_tags(tagged)
    assert (text, len(found)) == ("red star", tags)
    said = note("negative_prompt", found)
    assert said.startswith("negative_prompt has ") and said.endswith("not applied: adapters are not available")


@pytest.mark.parametrize(
    "text", [r"red \<lora:x:1> star", "red <star> < lora", "<lora:x", "a < b: c > d", "<loras:x> "]
)
def test_what_is_no_tag_stays_text(text: str) -> None:
    assert without_tags(text) == (text, [])


def test_many_tags_are_counted_and_long_ones_cut() -> None:
    text, tags = without_tags("".join(f"<lora:{'n' * 100}{index}:1>" for index in range(1000)) + "<" * 10_000)
    assert (text, len(tags)) == ("<" * 10_000, 1000)
    assert len(note("prompt", tags)) < 400 and "and 997 more" in note("prompt", tags)


@pytest.mark.parametrize(
    ("text", "empty"),
    [
        ("", True),
        (" \n\t", True),
        ("<lora:x:1>", True),
        (" <lora:x:1> <lyco:y> ", True),
        ("<lora:x:1> a", False),
        (r"\<lora:x:1>", False),
        ("<x>", False),
    ],
)
def test_blanks_and_tags_alone_are_empty(text: str, empty: bool) -> None:
    assert is_empty(text) is empty
