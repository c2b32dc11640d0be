"""Services, Envoy's clusters and network policies agree: the mesh's edges are open at both ends, and no others."""

from ipaddress import ip_network

import pytest
import yaml

from gateway.egress.hosts import DENIED
from tests.rigs.k8s_rendering import K8S, VARIANTS, Document, containers, of_kind, pods, renderings


@pytest.fixture(params=VARIANTS)
def documents(request: pytest.FixtureRequest) -> list[Document]:
    """Each variant in turn."""
    return renderings()[request.param]


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
        if cluster["name"] == "admin":
            continue
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        socket = endpoint["address"]["socket_address"]
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


@pytest.mark.parametrize("variant", ["base", "demo", "gpu", "fetch-urls", "internal-callers"])
def test_pods_reach_each_other_along_the_meshs_edges_only(variant: str) -> None:
    documents = renderings()[variant]
    denied = of_kind(documents, "NetworkPolicy")["default-deny"]["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert allowed(documents) == EDGES


OUTSIDE = {"postgresql": 5432, "minio": 9000, "redis": 6379}


def test_the_gateway_alone_reaches_databases_and_buckets_of_other_namespaces() -> None:
    for variant in ("base", "demo"):
        elsewhere = {
            (name, peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"], port["port"])
            for name, policy in of_kind(renderings()[variant], "NetworkPolicy").items()
            for rule in policy["spec"].get("egress", [])
            for peer in rule.get("to", [])
            if "namespaceSelector" in peer and name != "dns"
            for port in rule["ports"]
        }
        assert elsewhere == {("gateway-records", name, port) for name, port in OUTSIDE.items()}
        policy = of_kind(renderings()[variant], "NetworkPolicy")["gateway-records"]
        assert policy["spec"]["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "gateway"}}


def ways_out(documents: list[Document]) -> set[str]:
    return {
        name
        for name, policy in of_kind(documents, "NetworkPolicy").items()
        for rule in policy["spec"].get("egress", [])
        for peer in rule.get("to", [{"ipBlock": "everywhere"}])
        if "ipBlock" in peer
    }


def test_only_the_component_opens_a_way_out_of_the_cluster() -> None:
    assert not ways_out(renderings()["base"])
    assert not ways_out(renderings()["demo"])
    assert ways_out(renderings()["fetch-urls"]) == {"gateway-fetches"}


def reach(documents: list[Document], port: int) -> list[Document]:
    """Who may connect to Envoy at `port`, as the policies say it."""
    return [
        peer
        for policy in of_kind(documents, "NetworkPolicy").values()
        if policy["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name") == "envoy"
        for rule in policy["spec"].get("ingress", [])
        if any(one["port"] == port for one in rule["ports"])
        for peer in rule.get("from", [{"anybody": {}}])
    ]


def test_callers_are_let_in_by_the_component_and_only_where_keys_are_asked_for(documents: list[Document]) -> None:
    gateway = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "gateway"}}}
    assert reach(documents, 8090) == [gateway]
    callers = {"namespaceSelector": {"matchLabels": {"controlmesh/calls": "true"}}}
    assert reach(renderings()["internal-callers"], 8091) == [callers]
    assert reach(renderings()["base"], 8091) == []


def test_the_way_out_leads_past_the_addresses_that_the_gateway_refuses() -> None:
    (rule,) = of_kind(renderings()["fetch-urls"], "NetworkPolicy")["gateway-fetches"]["spec"]["egress"]
    blocks = [peer["ipBlock"] for peer in rule["to"]]
    assert [block["cidr"] for block in blocks] == ["0.0.0.0/0", "::/0"]
    refused = [ip_network(network) for block in blocks for network in block["except"]]
    assert refused == list(DENIED)


def test_beside_triton_the_edges_are_the_same_at_the_new_pod() -> None:
    moved = {edge for edge in EDGES if "unet-svc" not in edge} | {("envoy", "triton", 50052)}
    assert allowed(renderings()["colocated"]) == moved
