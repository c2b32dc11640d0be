"""What the rendered manifests promise: valid, locked down, probed, reachable along the mesh's edges and no others."""

import dataclasses
import importlib
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from families.manifest import list_manifests
from mesh.settings import variable

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
COMPONENTS = ("colocated", "fetch-urls", "gpu")
# Container -> where its settings are declared.
SETTINGS = {
    "gateway": ("gateway.settings", "GatewaySettings"),
    "preprocess-svc": ("preprocess_svc.settings", "PreprocessSettings"),
    "unet-svc": ("unet_svc.settings", "UnetSettings"),
    "vae-svc": ("vae_svc.settings", "VaeSettings"),
}
SERVICE_NAMES = {
    "preprocess-svc": "controlmesh.v1.PreprocessService",
    "unet-svc": "controlmesh.v1.UnetService",
    "vae-svc": "controlmesh.v1.VaeService",
}
VARIANTS = ("base", "demo", *COMPONENTS, "every component")

Document = dict[str, Any]


@pytest.fixture(scope="session")
def renderings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Document]]:
    """Variant -> its documents, as `kubectl kustomize` renders them."""
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl on this machine, so the manifests can't be rendered")
    folder = tmp_path_factory.mktemp("kustomize")
    # kustomize takes no absolute paths, so the tree is copied beside the overlays made here.
    shutil.copytree(K8S, folder / "k8s")
    places = {"base": folder / "k8s" / "base", "demo": folder / "k8s" / "overlays" / "demo"}
    for variant, components in {**{name: (name,) for name in COMPONENTS}, "every component": COMPONENTS}.items():
        places[variant] = folder / variant.replace(" ", "-")
        places[variant].mkdir()
        overlay = {"resources": ["../k8s/overlays/demo"], "components": [f"../k8s/components/{x}" for x in components]}
        (places[variant] / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return {variant: render(place) for variant, place in places.items()}


def render(folder: Path) -> list[Document]:
    result = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert not result.stderr, result.stderr
    return list(yaml.safe_load_all(result.stdout))


@pytest.fixture(params=VARIANTS)
def documents(request: pytest.FixtureRequest, renderings: dict[str, list[Document]]) -> list[Document]:
    """Each variant in turn."""
    return renderings[request.param]


def of_kind(documents: list[Document], kind: str) -> dict[str, Document]:
    return {document["metadata"]["name"]: document for document in documents if document["kind"] == kind}


def pods(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Name of each Deployment or Job, and its pod template."""
    for kind in ("Deployment", "Job"):
        for name, document in of_kind(documents, kind).items():
            yield name, document["spec"]["template"]


def containers(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Each container, init containers too, with a name that says where it is."""
    for name, template in pods(documents):
        for group in ("initContainers", "containers"):
            for container in template["spec"].get(group, []):
                yield f"{name}/{container['name']}", container


def environment(container: Document) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}


def seconds(container: Document) -> float:
    """What a container takes at most between the order to stop and its end."""
    stop = container["lifecycle"]["preStop"]
    before = stop["sleep"]["seconds"] if "sleep" in stop else float(stop["exec"]["command"][-1])
    grace = float(environment(container).get("CN_GRACE_S", 0))
    exit_timeout = [
        float(arg.split("=")[1]) for arg in container.get("args", []) if arg.startswith("--exit-timeout-secs")
    ]
    drain = 2.5 if grace else 0.0
    return before + drain + grace + sum(exit_timeout)


def test_every_document_is_valid_kubernetes(documents: list[Document]) -> None:
    known = {
        "ConfigMap", "Deployment", "Job", "Namespace", "NetworkPolicy", "PersistentVolumeClaim", "PodDisruptionBudget",
        "Service", "ServiceAccount",
    }  # fmt: skip
    for document in documents:
        # A kind that the validator has no schema for would only be warned about.
        assert document["kind"] in known
        kubernetes_validate.validate(document, "1.34", strict=True)


def test_the_validator_is_not_asleep(renderings: dict[str, list[Document]]) -> None:
    deployment = of_kind(renderings["base"], "Deployment")["vae-svc"]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**deployment, "spec": {**deployment["spec"], "replica": 2}}, "1.34", strict=True)


def test_nothing_is_root_or_can_become_it(documents: list[Document]) -> None:
    for name, template in pods(documents):
        spec = template["spec"]
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert (context["runAsUser"], context["runAsGroup"]) == (10001, 10001), name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        assert spec["serviceAccountName"] in of_kind(documents, "ServiceAccount"), name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume], name
    for name, container in containers(documents):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["readOnlyRootFilesystem"] is True, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name
        assert "privileged" not in context, name


def test_every_container_has_bounds_and_a_pinned_image(documents: list[Document]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name, container in containers(documents):
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
        assert "memory" in container["resources"]["limits"], name
        image, _, tag = container["image"].rpartition(":")
        assert image and re.search(r"\d", tag) and tag != "latest", name
        if image.startswith("controlmesh/"):
            assert tag == version, name


def test_only_export_writes_to_the_model_repository(documents: list[Document]) -> None:
    for name, container in containers(documents):
        for mount in container["volumeMounts"]:
            if mount["name"] == "models" and not name.startswith("export-demo/"):
                assert mount.get("readOnly") is True, name


def test_every_container_is_probed(documents: list[Document]) -> None:
    for deployment in of_kind(documents, "Deployment").values():
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            name = container["name"]
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = container[kind]
                handler = probe.get("grpc") or probe.get("httpGet") or probe.get("tcpSocket")
                assert handler["port"] in ports or handler["port"] in ports.values(), (name, kind)
            if name in SERVICE_NAMES:
                assert container["readinessProbe"]["grpc"]["service"] == SERVICE_NAMES[name]
                # Health follows the model server, and its failures must restart nobody else.
                assert "grpc" not in container["livenessProbe"]


def test_pods_get_the_time_that_stopping_takes(documents: list[Document]) -> None:
    for name, deployment in of_kind(documents, "Deployment").items():
        spec = deployment["spec"]["template"]["spec"]
        needed = max(seconds(container) for container in spec["containers"])
        assert needed >= 5, name
        assert spec["terminationGracePeriodSeconds"] > needed, name


def test_every_variable_is_a_setting(documents: list[Document]) -> None:
    seen = set()
    for name, container in containers(documents):
        ours = {key for key in environment(container) if key.startswith("CN_")}
        if container["name"] not in SETTINGS:
            assert not ours, f"{name} is none of our processes and reads none of {ours}"
            continue
        module, cls = SETTINGS[container["name"]]
        settings = getattr(importlib.import_module(module), cls)
        known = {variable(settings, field) for field in dataclasses.fields(settings)}
        unknown = {key for key in ours if key not in known and key.removesuffix("_FILE") not in known}
        assert not unknown, f"{name} sets {unknown}, which {module} does not read"
        seen.add(container["name"])
    assert seen == SETTINGS.keys()


def test_addresses_name_ports_that_exist(documents: list[Document]) -> None:
    services = of_kind(documents, "Service")
    for name, container in containers(documents):
        ports = {port["containerPort"] for port in container.get("ports", [])}
        for key, value in environment(container).items():
            host, _, port = value.rpartition(":")
            if not key.startswith("CN_") or not port.isdigit() or not host or "PUBLIC" in key:
                continue
            if host == "0.0.0.0":
                assert int(port) in ports, f"{name}: {key} listens on a port that is not declared"
            elif host != "127.0.0.1":
                assert int(port) in {entry["port"] for entry in services[host]["spec"]["ports"]}, f"{name}: {key}"


def test_services_select_pods_that_listen_there(documents: list[Document]) -> None:
    templates = dict(pods(documents))
    for name, service in of_kind(documents, "Service").items():
        spec = service["spec"]
        behind = [
            template
            for template in templates.values()
            if spec["selector"].items() <= template["metadata"]["labels"].items()
        ]
        assert len(behind) == 1, name
        listening = {
            port["name"]: port["containerPort"] for c in behind[0]["spec"]["containers"] for port in c["ports"]
        }
        for port in spec["ports"]:
            assert listening[port["targetPort"]] == port["port"], name


def test_envoys_clusters_are_headless_services_at_the_ports_of_their_listeners(documents: list[Document]) -> None:
    (bootstrap,) = [
        yaml.safe_load(document["data"]["envoy.yaml"])
        for document in documents
        if document["kind"] == "ConfigMap" and document["metadata"]["name"].startswith("envoy-bootstrap")
    ]
    assert bootstrap == yaml.safe_load((K8S / "envoy" / "envoy.yaml").read_text())
    services = of_kind(documents, "Service")
    for cluster in bootstrap["static_resources"]["clusters"]:
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        socket = endpoint["address"]["socket_address"]
        if cluster["name"] == "admin":
            continue
        spec = services[socket["address"]]["spec"]
        assert spec["clusterIP"] == "None", cluster["name"]
        assert socket["port_value"] in {port["port"] for port in spec["ports"]}, cluster["name"]
    (envoy,) = [c for name, c in containers(documents) if name == "envoy/envoy"]
    listeners = {
        entry["name"]: entry["address"]["socket_address"]["port_value"]
        for entry in bootstrap["static_resources"]["listeners"]
    }
    assert {port["name"]: port["containerPort"] for port in envoy["ports"]} == listeners


def allowed(documents: list[Document]) -> set[tuple[str, str, int]]:
    """(from, to, port) of every connection between pods that both of its ends allow."""
    labels = {name: template["metadata"]["labels"] for name, template in pods(documents)}
    ways: dict[str, set[tuple[str, str, int]]] = {"ingress": set(), "egress": set()}

    def selected(selector: Document) -> set[str]:
        def fits(given: dict[str, str]) -> bool:
            exact = selector.get("matchLabels", {}).items() <= given.items()
            return exact and all(given.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []))

        return {name for name, given in labels.items() if fits(given)}

    for policy in of_kind(documents, "NetworkPolicy").values():
        here = selected(policy["spec"]["podSelector"])
        for way, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(way, []):
                for peer in rule.get(peers, []):
                    if "podSelector" not in peer or "namespaceSelector" in peer:
                        continue
                    for other in selected(peer["podSelector"]):
                        for port in rule["ports"]:
                            for pod in here:
                                pair = (other, pod) if way == "ingress" else (pod, other)
                                ways[way].add((*pair, port["port"]))
    assert ways["ingress"] == ways["egress"], "an edge is open at one end only"
    return ways["ingress"]


EDGES = {
    ("envoy", "gateway", 8081),
    ("envoy", "gateway", 50050),
    ("gateway", "envoy", 8090),
    ("envoy", "preprocess-svc", 50051),
    ("envoy", "unet-svc", 50052),
    ("envoy", "vae-svc", 50053),
    ("preprocess-svc", "triton", 8001),
    ("unet-svc", "triton", 8001),
    ("vae-svc", "triton", 8001),
}


@pytest.mark.parametrize("variant", ["base", "demo", "gpu", "fetch-urls"])
def test_pods_reach_each_other_along_the_meshs_edges_only(renderings: dict[str, list[Document]], variant: str) -> None:
    documents = renderings[variant]
    denied = of_kind(documents, "NetworkPolicy")["default-deny"]["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert allowed(documents) == EDGES


def ways_out(documents: list[Document]) -> set[str]:
    return {
        name
        for name, policy in of_kind(documents, "NetworkPolicy").items()
        for rule in policy["spec"].get("egress", [])
        for peer in rule.get("to", [{"ipBlock": "everywhere"}])
        if "ipBlock" in peer
    }


def test_only_the_component_opens_a_way_out_of_the_cluster(renderings: dict[str, list[Document]]) -> None:
    assert not ways_out(renderings["base"])
    assert not ways_out(renderings["demo"])
    assert ways_out(renderings["fetch-urls"]) == {"gateway-fetches"}


def test_beside_triton_unet_svc_is_the_same_container_with_shared_memory(
    renderings: dict[str, list[Document]],
) -> None:
    before, after = (dict(containers(renderings[variant])) for variant in ("demo", "colocated"))
    assert "unet-svc/unet-svc" not in after
    apart, beside = before["unet-svc/unet-svc"], after["triton/unet-svc"]
    for field in ("image", "resources", "securityContext", "readinessProbe", "lifecycle"):
        assert apart[field] == beside[field], field
    differing = {key: value for key, value in environment(beside).items() if environment(apart)[key] != value}
    assert differing == {
        "CN_UNET_TRITON_URL": "127.0.0.1:8001",
        "CN_UNET_SHARED_MEMORY": "true",
        "CN_GRACE_S": "60",
    }
    shared = {"name": "shm", "mountPath": "/dev/shm"}
    assert shared in beside["volumeMounts"]
    assert shared in after["triton/triton"]["volumeMounts"]
    assert "shared-memory" in environment(before["triton/triton"])["CLOSED_PROTOCOLS"]
    assert "shared-memory" not in environment(after["triton/triton"])["CLOSED_PROTOCOLS"]
    assert seconds(after["triton/triton"]) > seconds(beside), "Triton must outlive the loops of its pod"


def test_beside_triton_the_edges_are_the_same_at_the_new_pod(renderings: dict[str, list[Document]]) -> None:
    moved = {edge for edge in EDGES if "unet-svc" not in edge} | {("envoy", "triton", 50052)}
    assert allowed(renderings["colocated"]) == moved


def test_the_gpu_component_asks_for_one(renderings: dict[str, list[Document]]) -> None:
    resources = dict(containers(renderings["gpu"]))["triton/triton"]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in str(renderings["base"])


def test_the_demo_runs_one_of_everything_and_loads_the_graphs_of_its_model(
    renderings: dict[str, list[Document]],
) -> None:
    for name, deployment in of_kind(renderings["demo"], "Deployment").items():
        assert deployment["spec"]["replicas"] == 1, name
    triton = dict(containers(renderings["demo"]))["triton/triton"]
    loaded = {arg.removeprefix("--load-model=") for arg in triton["args"] if arg.startswith("--load-model=")}
    folders = {path.parent.name for path in (ROOT / "model_repository").glob("demo_*/config.pbtxt")}
    assert loaded == folders
    assert "--model-control-mode=explicit" in triton["args"]
    assert "--allow-http=false" in triton["args"]


def test_whoever_reads_the_models_waits_for_their_card(renderings: dict[str, list[Document]]) -> None:
    card = "demo/manifest.json"
    for name, template in pods(renderings["demo"]):
        mounts = {mount["mountPath"] for c in template["spec"]["containers"] for mount in c["volumeMounts"]}
        waits = [c for c in template["spec"].get("initContainers", []) if card in str(c["command"])]
        assert bool(waits) == ("/models" in mounts and name != "export-demo"), name
    # The name that is waited for is the one that the cards have.
    assert "demo/manifest.json" in str(renderings["demo"])
    assert list_manifests.__module__ == "families.manifest"
    assert (ROOT / "families" / "manifest.py").read_text().count("manifest.json") >= 1
