"""The budget of all bodies: its shares, and that what was taken is given back."""

import pytest

from gateway.web.budget import BodiesFull, ByteBudget
from gateway.web.origin import origin

MIB = 1 << 20


def budget() -> ByteBudget:
    """Of 64 MiB: 32 for an address, 16 without a key, 8 of an address without one."""
    return ByteBudget(64 * MIB, 4 * MIB)


def test_no_more_is_held_than_the_budget() -> None:
    whole = budget()
    holds = [whole.hold(f"10.0.0.{number}", keyed=True) for number in range(17)]
    for hold in holds[:16]:
        hold.cover(4 * MIB)
    with pytest.raises(BodiesFull) as refused:
        holds[16].cover(1)
    assert refused.value.retry_after_s
    assert whole.held == 64 * MIB and not holds[16].count
    holds[3].release()
    holds[3].release()
    holds[16].cover(4 * MIB)
    assert whole.held == 64 * MIB
    for hold in holds:
        hold.release()
    assert whole.held == 0


def test_an_address_has_a_share() -> None:
    whole = budget()
    one, other = whole.hold("10.0.0.1", keyed=True), whole.hold("10.0.0.2", keyed=True)
    one.cover(32 * MIB)
    with pytest.raises(BodiesFull, match="this address"):
        whole.hold("10.0.0.1", keyed=True).cover(1)
    other.cover(32 * MIB)
    # Where no key is asked for there is one user.
    one.release()
    other.release()
    whole.hold(None, keyed=True).cover(64 * MIB)


def test_who_is_not_known_has_less_and_leaves_room_for_those_who_are() -> None:
    whole = budget()
    strangers = [whole.hold(f"10.0.0.{number}", keyed=False) for number in range(3)]
    strangers[0].cover(8 * MIB)
    with pytest.raises(BodiesFull, match="this address"):
        strangers[0].cover(8 * MIB + 1)
    strangers[1].cover(8 * MIB)
    with pytest.raises(BodiesFull, match="with the key in a header"):
        strangers[2].cover(1)
    for number in range(12):
        whole.hold(f"10.0.1.{number}", keyed=True).cover(4 * MIB)


def test_bytes_move_to_the_other_share_once_the_key_is_known() -> None:
    whole = budget()
    body = whole.hold("10.0.0.1", keyed=False)
    body.cover(8 * MIB)
    body.move()
    body.move()
    assert body.keyed and whole.held == 8 * MIB
    whole.hold("10.0.0.1", keyed=False).cover(8 * MIB)
    body.cover(24 * MIB)
    with pytest.raises(BodiesFull):
        body.cover(24 * MIB + 1)
    body.release()
    assert whole.held == 8 * MIB


def test_every_share_has_room_for_the_largest_body() -> None:
    small = ByteBudget(5 * MIB, 4 * MIB)
    assert min(small.shares.unkeyed, small.shares.unkeyed_address, small.shares.address) == 4 * MIB


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
