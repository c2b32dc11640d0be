"""Which addresses lie outside the public internet."""

import pytest

from gateway.egress.hosts import DENIED, is_denied


@pytest.mark.parametrize("block", [str(block) for block in DENIED])
def test_every_denied_block_denies_its_first_and_last_address(block: str) -> None:
    network = next(known for known in DENIED if str(known) == block)
    assert is_denied(str(network[0])) and is_denied(str(network[-1]))


ANOTHER_SPELLING = ["::{}", "::ffff:{}", "::ffff:0:{}", "64:ff9b::{}", "64:ff9b:1::{}", "64:ff9b:1:fffe::{}"]
SPECIAL = [
    "168.63.129.16", "192.31.196.1", "192.52.193.1", "192.175.48.1", "192.0.0.192", "100.100.100.200",
    "255.255.255.255", "2002:7f00:1::", "2001:0:7f00:1::", "2001:20::1", "2001:2::1", "3fff::1",
    "3fff:fff:ffff::1", "5f00::1",
    "2620:4f:8000::1", "100::1", "100:0:0:1::1", "fd00:ec2::254", "fe80::1%1", "fec0::1", "ff0e::1",
    "4000::1", "e000::1",
]  # fmt: skip


@pytest.mark.parametrize("address", SPECIAL)
def test_special_purpose_addresses_are_denied(address: str) -> None:
    assert is_denied(address)


@pytest.mark.parametrize("spelling", ANOTHER_SPELLING)
@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "8.8.8.8"])
def test_no_spelling_in_ipv6_leads_to_an_ipv4_address(address: str, spelling: str) -> None:
    assert is_denied(spelling.format(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "192.169.0.1", "2606:4700::1111", "2a00::1", "168.63.129.17"]
)
def test_public_addresses_are_not_denied(address: str) -> None:
    assert not is_denied(address)
