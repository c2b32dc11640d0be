"""What the rendered manifests promise: valid, locked down, bounded, probed, and set up with real settings."""

import dataclasses
import importlib
import re
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest

from families.manifest import manifest_path
from mesh.settings import variable
from model_server.container import command
from tests.rigs.k8s_rendering import ROOT, VARIANTS, Document, containers, environment, of_kind, pods, renderings

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


@pytest.fixture(params=VARIANTS)
def documents(request: pytest.FixtureRequest) -> list[Document]:
    """Each variant in turn."""
    return renderings()[request.param]


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


def test_the_validator_is_not_asleep() -> None:
    deployment = of_kind(renderings()["base"], "Deployment")["vae-svc"]
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
                if "exec" in probe:
                    url = re.search(r"--url=127\.0\.0\.1:(\d+)", " ".join(probe["exec"]["command"]))
                    port = int(url.group(1)) if url else None
                else:
                    port = (probe.get("grpc") or probe.get("httpGet") or probe.get("tcpSocket"))["port"]
                assert port in ports or port in ports.values(), (name, kind)
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


def test_no_gateway_forgets_what_another_knows(documents: list[Document]) -> None:
    deployment = of_kind(documents, "Deployment")["gateway"]["spec"]
    spec = deployment["template"]["spec"]
    (container,) = spec["containers"]
    variables = {entry["name"]: entry for entry in container["env"]}
    claims = {volume["name"] for volume in spec["volumes"] if "persistentVolumeClaim" in volume}
    kept = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in claims]
    for name, at_home in (("CN_GATEWAY_DATABASE_URL", "sqlite:///"), ("CN_GATEWAY_STORAGE_URL", "file://")):
        if "value" not in variables[name]:
            # No pod starts without it.
            assert not variables[name]["valueFrom"]["secretKeyRef"].get("optional"), name
            continue
        assert "valueFrom" not in variables[name], name
        folder = variables[name]["value"].removeprefix(at_home)
        assert folder.startswith("/") and any(folder.startswith(f"{mount}/") for mount in kept), name
        assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})


def test_the_loops_that_run_fit_tritons_queue(documents: list[Document]) -> None:
    queues = {
        int(size)
        for config in (ROOT / "model_repository").glob("demo_*/config.pbtxt")
        for size in re.findall(r"max_queue_size: (\d+)", config.read_text())
    }
    for name, deployment in of_kind(documents, "Deployment").items():
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            if container["name"] == "unet-svc":
                running = int(environment(container)["CN_UNET_RUNNING"])
                assert running * deployment["spec"]["replicas"] <= min(queues), name


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


def test_beside_triton_unet_svc_is_the_same_container_with_shared_memory() -> None:
    before, after = (dict(containers(renderings()[variant])) for variant in ("demo", "colocated"))
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


def test_triton_and_unet_svc_alone_have_the_key_that_loads_models(documents: list[Document]) -> None:
    holders = set()
    for name, template in pods(documents):
        for volume in template["spec"]["volumes"]:
            if volume.get("secret", {}).get("secretName") == "triton-repository-key":
                assert not volume["secret"].get("optional"), "without the key nothing must start"
                holders.add(name)
    assert holders == ({"triton", "unet-svc"} & dict(pods(documents)).keys())
    mounts = {
        container["name"]
        for _, container in containers(documents)
        if any(mount["name"] == "repository-key" for mount in container["volumeMounts"])
    }
    assert mounts == {"triton", "unet-svc"}
    triton = dict(containers(documents))["triton/triton"]
    option = "--repository-key-file=/etc/repository-key/key"
    for probe in ("startupProbe", "livenessProbe"):
        assert option in triton[probe]["exec"]["command"]
    assert option in triton["args"]
    # A model that is busy, or that was exported a moment ago, is no reason to restart everybody's.
    assert "--alive" in triton["livenessProbe"]["exec"]["command"]
    assert "--alive" not in triton["startupProbe"]["exec"]["command"]


def test_the_gpu_component_asks_for_one() -> None:
    resources = dict(containers(renderings()["gpu"]))["triton/triton"]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in str(renderings()["base"])


def test_the_demo_runs_one_of_everything() -> None:
    for name, deployment in of_kind(renderings()["demo"], "Deployment").items():
        assert deployment["spec"]["replicas"] == 1, name


def test_triton_is_started_with_arguments_that_its_image_takes(documents: list[Document], tmp_path: Path) -> None:
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "config.pbtxt").touch()
    triton = dict(containers(documents))["triton/triton"]
    closed = environment(triton)["CLOSED_PROTOCOLS"]
    arguments = [argument.replace("$(CLOSED_PROTOCOLS)", closed) for argument in triton["args"]]
    assert not [argument for argument in arguments if "$(" in argument]
    line = command([*arguments, f"--repository={tmp_path}", "--model=graph"])
    ports = {port["name"]: port["containerPort"] for port in triton["ports"]}
    assert {f"--grpc-port={ports['grpc']}", f"--metrics-port={ports['metrics']}"} <= set(line)
    assert "--exit-timeout-secs=40" in line
    assert [flag for flag in line if flag.startswith(f"--grpc-restricted-protocol={closed}:")]
    # Nothing was left over and handed to tritonserver unread.
    assert not {flag.split("=")[0] for flag in line} & {"--closed", "--repository", "--model"}


def test_whoever_reads_the_models_waits_for_their_card() -> None:
    card = str(manifest_path(Path("/models"), "demo"))
    for name, template in pods(renderings()["demo"]):
        mounts = {mount["mountPath"] for c in template["spec"]["containers"] for mount in c["volumeMounts"]}
        waits = [c for c in template["spec"].get("initContainers", []) if card in str(c.get("command"))]
        assert bool(waits) == ("/models" in mounts and name != "export-demo"), name
