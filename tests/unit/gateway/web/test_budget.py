"""The budget of all bodies: its shares, and that what was taken is given back."""

from functools import partial

import pytest

from gateway.web.budget import PORTION, STALLED_S, BodiesFull, ByteBudget, Hold
from gateway.web.origin import origin

MIB = 1 << 20


def budget() -> ByteBudget:
    """Of 64 MiB: 32 for an address, 16 for beginnings, 48 with a key, 16 without one, 8 of an address without one."""
    return ByteBudget(64 * MIB, 4 * MIB)


def test_no_more_is_held_than_the_budget() -> None:
    whole = budget()
    holds = [whole.hold(f"10.0.0.{number}", keyed=True) for number in range(13)]
    for hold in holds[:12]:
        hold.cover(4 * MIB + PORTION)
    with pytest.raises(BodiesFull) as refused:
        holds[12].cover(PORTION + 1)
    assert refused.value.retry_after_s
    assert whole.held == 48 * MIB + 13 * PORTION, "beginnings have room"
    holds[3].release()
    holds[3].release()
    holds[12].cover(4 * MIB + PORTION)
    for number in range(3):
        whole.hold(f"10.0.1.{number}", keyed=False).cover(4 * MIB)
    assert whole.held <= 64 * MIB
    with pytest.raises(BodiesFull):
        whole.hold("10.0.2.1", keyed=False).cover(4 * MIB)


def test_all_that_was_taken_is_given_back() -> None:
    whole = budget()
    holds = [whole.hold(address, keyed) for address in ("10.0.0.1", None) for keyed in (True, False)]
    for hold in holds:
        hold.came_on()
        hold.cover(10)
        hold.cover(MIB)
        hold.move()
        hold.cover(2 * MIB)
    assert whole.held == 8 * MIB
    for hold in holds:
        hold.release()
    assert whole.held == 0
    whole.hold("10.0.0.1", keyed=True).cover(32 * MIB)


def test_an_address_has_a_share() -> None:
    whole = budget()
    one, other = whole.hold("10.0.0.1", keyed=True), whole.hold("10.0.0.2", keyed=True)
    one.cover(32 * MIB + PORTION)
    with pytest.raises(BodiesFull, match="this address"):
        whole.hold("10.0.0.1", keyed=True).cover(PORTION + 1)
    other.cover(16 * MIB)
    # Where no key is asked for there is one user.
    one.release()
    other.release()
    whole.hold(None, keyed=True).cover(48 * MIB)


def test_who_is_not_known_has_less_and_leaves_room_for_those_who_are() -> None:
    whole = budget()
    strangers = [whole.hold(f"10.0.0.{number}", keyed=False) for number in range(3)]
    strangers[0].cover(8 * MIB + PORTION)
    with pytest.raises(BodiesFull, match="this address"):
        strangers[0].cover(8 * MIB + PORTION + 1)
    strangers[1].cover(8 * MIB + PORTION)
    with pytest.raises(BodiesFull, match="with the key in a header"):
        strangers[2].cover(PORTION + 1)
    for number in range(11):
        whole.hold(f"10.0.1.{number}", keyed=True).cover(4 * MIB)
    assert whole.held > 60 * MIB


def test_the_beginnings_of_bodies_find_room_beside_large_ones_without_a_key() -> None:
    whole = budget()
    for number in range(2):
        whole.hold(f"10.0.0.{number}", keyed=False).cover(8 * MIB + PORTION)
    small = [whole.hold("10.0.0.1", keyed=False) for _ in range(8 * MIB // PORTION - 1)]
    for hold in small:
        hold.cover(PORTION)
    with pytest.raises(BodiesFull, match="this address"):
        whole.hold("10.0.0.1", keyed=False).cover(1)
    small[0].release()
    whole.hold("10.0.0.1", keyed=False).cover(PORTION)
    whole.hold("10.0.0.9", keyed=False).cover(PORTION)


def test_a_body_without_a_key_that_has_stalled_gives_way_to_one_that_comes() -> None:
    now = 100.0
    whole = ByteBudget(64 * MIB, 4 * MIB, clock=lambda: now)
    ended: list[str] = []

    def stranger(address: str, name: str, size: int) -> Hold:
        hold = whole.hold(address, keyed=False)
        hold.on_end = lambda: ended.append(name)
        hold.came_on()
        hold.cover(size)
        return hold

    first = stranger("10.0.0.1", "first", 4 * MIB)
    stranger("10.0.0.2", "of another address", 4 * MIB)
    stranger("10.0.0.1", "small", PORTION)
    now += 0.1
    stranger("10.0.0.1", "second", 4 * MIB)
    with pytest.raises(BodiesFull):
        stranger("10.0.0.1", "third", 4 * MIB)
    now += STALLED_S
    first.came_on()
    stranger("10.0.0.1", "third", 4 * MIB)
    assert ended == ["second"]
    now += STALLED_S / 2
    with pytest.raises(BodiesFull):
        stranger("10.0.0.1", "fourth", 4 * MIB)
    # Where there is room nobody is ended.
    whole.hold("10.0.0.7", keyed=True).cover(32 * MIB)
    assert ended == ["second"]


def test_a_holder_s_body_that_has_stalled_gives_way_where_the_budget_is_full() -> None:
    now = 100.0
    whole = ByteBudget(64 * MIB, 4 * MIB, clock=lambda: now)
    ended: list[str] = []

    def arriving(name: str, size: int) -> Hold:
        hold = whole.hold(None, keyed=True)
        hold.on_end = partial(ended.append, name)
        hold.came_on()
        hold.cover(size)
        return hold

    read = arriving("read", 4 * MIB)
    read.arrived()
    stalled = arriving("stalled", 40 * MIB)
    with pytest.raises(BodiesFull):
        arriving("early", 8 * MIB)
    now += STALLED_S
    # A body does not give way to itself, and one that was read is not given up.
    with pytest.raises(BodiesFull):
        stalled.cover(48 * MIB)
    assert not ended
    arriving("late", 8 * MIB)
    assert ended == ["stalled"]
    stalled.release()
    read.release()
    assert whole.held == 8 * MIB + PORTION, "and the beginning of the one that was refused"


def test_a_beginning_that_has_stalled_gives_way_too() -> None:
    now = 100.0
    whole = ByteBudget(64 * MIB, 4 * MIB, clock=lambda: now)
    ended: list[int] = []
    for number in range(8 * MIB // PORTION):
        hold = whole.hold("10.0.0.1", keyed=False)
        hold.on_end = partial(ended.append, number)
        hold.came_on()
        hold.cover(PORTION)
    with pytest.raises(BodiesFull):
        whole.hold("10.0.0.1", keyed=False).cover(1)
    now += STALLED_S
    whole.hold("10.0.0.1", keyed=False).cover(PORTION)
    assert ended == [0]


def test_bytes_move_to_the_other_share_once_the_key_is_known() -> None:
    whole = budget()
    body = whole.hold("10.0.0.1", keyed=False)
    body.cover(8 * MIB)
    body.move()
    body.move()
    assert body.keyed and whole.held == 8 * MIB
    whole.hold("10.0.0.1", keyed=False).cover(8 * MIB + PORTION)
    body.cover(24 * MIB + PORTION)
    with pytest.raises(BodiesFull):
        body.cover(24 * MIB + PORTION + 1)
    body.release()
    assert whole.held == 8 * MIB + PORTION


def test_every_share_has_room_for_the_largest_body() -> None:
    small = ByteBudget(5 * MIB, 4 * MIB).shares
    shares = (small.unkeyed, small.unkeyed_address, small.address, small.beginnings, small.keyed)
    assert min(shares) == 4 * MIB


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", ""),
        ("a name", "a name"),
    ],
)
def test_an_address_counts_with_those_that_its_holder_can_choose(address: str, counted: str) -> None:
    assert origin(address) == counted
