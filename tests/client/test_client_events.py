"""Server-sent events are read the same however the stream is cut into pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlmesh_client.events import Event, EventReader, EventTooLarge

LINES = st.one_of(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["data", "event", "id", "retry", "", "other", "data "]),
        st.sampled_from([":", ": ", ":  ", ""]),
        st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=6),
    ),
    st.just(""),
)
ENDS = st.sampled_from(["\n", "\r", "\r\n"])


def plainly(text: str) -> tuple[list[Event], str, int | None]:
    """Events, last id and retry of a whole stream, line by line as the standard words it."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    events, kind, data, id, last, retry = [], "", [], "", "", None
    # What stands after the last end of a line is no line.
    for line in text.split("\n")[:-1]:
        name, colon, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if not line:
            last = id
            if data:
                events.append(Event(kind or "message", "\n".join(data), last))
            kind, data = "", []
        elif colon and not name:
            continue
        elif name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            retry = int(value)
    return events, last, retry


@given(st.lists(st.tuples(LINES, ENDS), max_size=30), st.booleans(), st.lists(st.integers(0, 400), max_size=12))
def test_any_cut_of_any_stream_gives_the_same_events(
    lines: list[tuple[str, str]], marked: bool, cuts: list[int]
) -> None:
    text = "\ufeff" * marked + "".join(line + end for line, end in lines)
    stream = text.encode()
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = EventReader()
    heard = [
        event
        for begin, end in zip(places, [*places[1:], len(stream)], strict=True)
        for event in reader.feed(stream[begin:end])
    ]
    assert (heard, reader.last_id, reader.retry_ms) == plainly(text)
    alone = EventReader()
    assert [event for place in range(len(stream)) for event in alone.feed(stream[place : place + 1])] == heard


def test_an_event_comes_as_soon_as_its_last_line_has_ended() -> None:
    reader = EventReader()
    assert reader.feed(b"id: 1\r\nevent: progress\r\ndata: {}\r\n") == []
    # A carriage return ends a line by itself; the line feed that may follow is not waited for.
    assert reader.feed(b"\r") == [Event("progress", "{}", "1")]
    assert reader.feed(b"\ndata: a\ndata: b\n\n") == [Event("message", "a\nb", "1")]


def test_comments_and_unknown_fields_say_nothing() -> None:
    reader = EventReader()
    assert reader.feed(b": ping - 2026\n\nwhat: else\ndata\n\nretry: 2x\nretry: 2000\n\n") == [Event("message", "", "")]
    assert reader.retry_ms == 2000


def test_an_id_counts_once_its_event_is_whole() -> None:
    reader = EventReader()
    reader.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n")
    assert reader.last_id == "1"
    reader.feed(b"\nid: 3\0\n\n")
    assert reader.last_id == "2"


@pytest.mark.parametrize("endless", [b"data: " + b"x" * 50, b"data: x\n" * 7, b":" * 90])
def test_what_has_no_end_is_not_kept(endless: bytes) -> None:
    with pytest.raises(EventTooLarge, match="50 bytes"):
        EventReader(most_bytes=50).feed(endless)


def test_many_small_events_are_no_large_one() -> None:
    assert len(EventReader(most_bytes=50).feed(b"data: x\n\n" * 1000)) == 1000
