"""Which addresses lie outside the public internet."""

import pytest

from gateway.egress.hosts import DENIED, is_denied


@pytest.mark.parametrize("block", [str(block) for block in DENIED])
def test_every_denied_block_denies_its_first_and_last_address(block: str) -> None:
    network = next(known for known in DENIED if str(known) == block)
    assert is_denied(str(network[0])) and is_denied(str(network[-1]))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "192.169.0.1", "2606:4700::1111", "2a00::1"])
def test_public_addresses_are_not_denied(address: str) -> None:
    assert not is_denied(address)
