"""Ports are tested before anything starts: who holds one, and which variable moves it."""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local import ports
from local.settings import LocalSettings
from local.supervision import LocalMesh, MeshStartError
from mesh.settings import SettingsError, read, variable
from tests.rigs.mesh import mesh_environment


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    return LocalSettings(run_folder=str(tmp_path / "run")).with_free_ports()


@pytest.fixture(params=["127.0.0.1", "0.0.0.0", "::"])
def held(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port on which this process listens."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as listening:
        # As gRPC's servers do, which would share the port with the mesh's without a word.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((request.param, 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_free_ports_are_no_faults(settings: LocalSettings) -> None:
    assert ports.faults(settings) == []


@pytest.mark.parametrize("name", ["edge_address", "mesh_address", "unet_metrics_address", "triton_port"])
def test_a_taken_port_is_named_with_its_holder_and_its_variable(settings: LocalSettings, held: int, name: str) -> None:
    taken = replace(settings, **{name: held if name.endswith("_port") else f"127.0.0.1:{held}"})
    (fault,) = ports.faults(taken)
    assert f"port {held} " in fault
    assert f"(pid {os.getpid()})" in fault
    assert f"CN_{name.upper()} moves it" in fault


def test_one_port_for_two_servers_is_a_fault(settings: LocalSettings) -> None:
    (fault,) = ports.faults(replace(settings, mesh_address=settings.edge_address))
    assert "CN_EDGE_ADDRESS" in fault and "CN_MESH_ADDRESS" in fault


def test_nothing_starts_while_a_port_is_taken(settings: LocalSettings, held: int) -> None:
    mesh = LocalMesh(replace(settings, edge_address=f"127.0.0.1:{held}"), mesh_environment())
    began = time.monotonic()
    with pytest.raises(
        MeshStartError,
        match=rf"{held}(.|\n)*CN_EDGE_ADDRESS(.|\n)*PORT={held + 100 if held <= 23_000 else held - 100} ",
    ):
        mesh.start()
    assert time.monotonic() - began < 5
    assert not (mesh.run / "supervisord.conf").exists()


def test_port_moves_every_port_but_those_that_are_set() -> None:
    default = LocalSettings()
    environ = {"PORT": "8180", "CN_MESH_ADDRESS": "127.0.0.1:7000"}
    moved = read(LocalSettings, environ).shifted(environ)
    was = {name: port for name, _, port in ports.addresses(default)}
    now = {name: port for name, _, port in ports.addresses(moved)}
    assert now == {name: port + 100 for name, port in was.items()} | {"CN_MESH_ADDRESS": 7000}
    assert moved.edge_address == "127.0.0.1:8180"
    assert read(LocalSettings, {}).shifted({}) == default


@pytest.mark.parametrize("port", ["80", "65000"])
def test_a_port_that_moves_others_out_of_range_is_refused(port: str) -> None:
    environ = {"PORT": port}
    with pytest.raises(SettingsError, match=f"PORT={port} moves CN_"):
        read(LocalSettings, environ).shifted(environ)


def test_every_address_has_a_variable() -> None:
    names = [name for name, _, _ in ports.addresses(LocalSettings(gateway_metrics_address="127.0.0.1:1"))]
    assert len(names) == len(set(names)) == 16
    assert all(name.startswith("CN_") for name in names)
    assert variable(LocalSettings, LocalSettings.__dataclass_fields__["port"]) == "PORT"
