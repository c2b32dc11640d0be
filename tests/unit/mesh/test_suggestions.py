"""Suggestions for names, and quantities as messages say them."""

import pytest

from mesh.quantities import sized
from mesh.suggestions import closest, did_you_mean, listed, words_of

KINDS = ("canny", "depth", "softedge", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "negative_prompt")


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("cany", "canny"),
        ("Canny", "canny"),
        ("soft-edge", "softedge"),
        ("negativePrompt", "negative_prompt"),
        ("negativ_prompt", "negative_prompt"),
        ("prompt", "negative_prompt"),
        ("canny_edge", "canny"),
        ("zzz", None),
        ("", None),
        ("\u202e", None),
        ("canny" * 100, None),
    ],
)
def test_the_likely_name_is_suggested(sent: str, meant: str | None) -> None:
    assert closest(sent, KINDS) == meant
    assert did_you_mean(sent, KINDS) == ("" if meant is None else f"; did you mean {meant}?")


def test_other_programs_words_come_first_and_only_for_what_is_known() -> None:
    meanings = {"euler a": "EulerAncestralDiscreteScheduler", "pose": "openpose"}
    assert closest("Euler a", KINDS, meanings) == "EulerAncestralDiscreteScheduler"
    assert closest("pose", KINDS, meanings) is None


def test_names_have_the_same_words_in_every_case_style() -> None:
    assert words_of("negativePrompt") == words_of("negative-prompt") == words_of("Negative Prompt")
    assert words_of("DPM++ 2M Karras") == ("dpm", "2m", "karras")


def test_long_lists_are_cut_and_counted() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([]) == "none"
    assert listed("abcde", most=2) == "a, b and 3 more"


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (16 * 2**20, "16 MiB"), (16 * 2**20 + 1, "16.1 MiB")],
)
def test_sizes_are_said_in_the_largest_unit_that_fits(count: int, words: str) -> None:
    assert sized(count) == words
