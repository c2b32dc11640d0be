"""The bootstrap is valid Envoy, and its local form differs in addresses and ports alone."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.envoy import BootstrapError, envoy_command, local_bootstrap

BOOTSTRAP = Path(__file__).parents[3] / "k8s" / "envoy" / "envoy.yaml"
UPSTREAMS = {
    "gateway": "127.0.0.1:41081",
    "gateway_grpc": "127.0.0.1:41050",
    "preprocess": "127.0.0.1:41051",
    "unet": "127.0.0.1:41052",
    "vae": "127.0.0.1:41053",
}


def leaves(node: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    if isinstance(node, dict):
        return {key: leaf for name, child in node.items() for key, leaf in leaves(child, (*path, name)).items()}
    if isinstance(node, list):
        return {key: leaf for index, child in enumerate(node) for key, leaf in leaves(child, (*path, index)).items()}
    return {path: node}


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*envoy_command(path), "--mode", "validate"], capture_output=True, text=True, timeout=60)


def test_the_file_is_valid_as_it_stands() -> None:
    result = validate(BOOTSTRAP)
    assert result.returncode == 0, result.stderr


def test_no_field_is_deprecated_or_still_in_progress() -> None:
    command = [*envoy_command(BOOTSTRAP, log_level="info"), "--mode", "validate"]
    log = subprocess.run(command, capture_output=True, text=True, timeout=60).stderr
    assert "loading 6 cluster(s)" in log
    assert "deprecated" not in log.lower()


def test_the_local_form_differs_only_in_addresses_and_ports(tmp_path: Path) -> None:
    text = BOOTSTRAP.read_text()
    local = local_bootstrap(
        text,
        upstreams=UPSTREAMS,
        edge="127.0.0.1:41080",
        internal="127.0.0.1:41091",
        mesh="127.0.0.1:41090",
        metrics="127.0.0.1:41092",
        admin=tmp_path / "admin.sock",
    )
    before, after = leaves(yaml.safe_load(text)), leaves(yaml.safe_load(local))
    assert before.keys() == after.keys()
    changed = {path for path in before if before[path] != after[path]}
    assert changed
    kinds = {("socket_address", "address"), ("socket_address", "port_value"), ("pipe", "path")}
    assert {path[-2:] for path in changed} <= kinds
    addresses = {path for path in after if path[-2:] == ("socket_address", "address")}
    assert {after[path] for path in addresses} == {"127.0.0.1"}
    written = tmp_path / "envoy.yaml"
    written.write_text(local)
    result = validate(written)
    assert result.returncode == 0, result.stderr


def test_the_admin_interface_is_a_socket_of_one_user_and_no_port(tmp_path: Path) -> None:
    for bootstrap, path in (
        (yaml.safe_load(BOOTSTRAP.read_text()), "/tmp/envoy-admin.sock"),
        (
            yaml.safe_load(local_bootstrap(BOOTSTRAP.read_text(), upstreams=UPSTREAMS, admin=tmp_path / "a.sock")),
            str(tmp_path / "a.sock"),
        ),
    ):
        assert bootstrap["admin"]["address"] == {"pipe": {"path": path, "mode": 0o600}}
        (admin,) = [cluster for cluster in bootstrap["static_resources"]["clusters"] if cluster["name"] == "admin"]
        (server,) = admin["load_assignment"]["endpoints"][0]["lb_endpoints"]
        assert server["endpoint"]["address"] == {"pipe": {"path": path}}


@pytest.mark.parametrize(
    ("edit", "upstreams", "message"),
    [
        (("name: mesh\n      address", "name: other\n      address"), UPSTREAMS, "no listener mesh"),
        (("- name: vae\n", "- name: other\n"), UPSTREAMS, "no cluster vae"),
        (("", ""), {**UPSTREAMS, "typo": "127.0.0.1:1"}, "no cluster typo"),
        (("", ""), {key: UPSTREAMS[key] for key in UPSTREAMS if key != "unet"}, "cluster unet"),
        (("", ""), {**UPSTREAMS, "vae": "127.0.0.1"}, "'127.0.0.1' is not host:port"),
        (("", ""), {**UPSTREAMS, "vae": "127.0.0.1:70000"}, "'127.0.0.1:70000' is not host:port"),
    ],
)
def test_what_does_not_fit_is_an_error(edit: tuple[str, str], upstreams: dict[str, str], message: str) -> None:
    text = BOOTSTRAP.read_text()
    assert edit[0] in text
    with pytest.raises(BootstrapError, match=message):
        local_bootstrap(text.replace(*edit), upstreams=upstreams)
