"""Ports that meshes get beside others: nobody is given one twice, and the kernel gives none of them to anybody."""

import multiprocessing
import socket
from pathlib import Path

from local.free_ports import free_ports

COUNT = 40


def test_a_port_is_given_once() -> None:
    first, second = set(free_ports(COUNT)), set(free_ports(COUNT))
    with multiprocessing.get_context("spawn").Pool(2) as others:
        third, fourth = map(set, others.map(free_ports, [COUNT] * 2, chunksize=1))
        assert len(first | second | third | fourth) == 4 * COUNT


def test_a_forked_process_has_none_of_its_parents(tmp_path: Path) -> None:
    mine = set(free_ports(COUNT))
    with multiprocessing.get_context("fork").Pool(1) as child:
        assert mine.isdisjoint(child.map(free_ports, [COUNT])[0])
        assert mine.isdisjoint(free_ports(COUNT))


def test_none_of_them_is_one_that_the_kernel_gives() -> None:
    begin, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert max(free_ports(COUNT)) < max(begin, 32_767)


def test_all_of_them_can_be_listened_on() -> None:
    for port in free_ports(COUNT):
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))
            one.listen()
