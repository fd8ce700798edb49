"""What the API server would take: the parts of its schema that the manifests use, and which of them must be there.

Source: the API reference of Kubernetes 1.31 (apps/v1, core/v1, networking.k8s.io/v1), and that of the Prometheus
operator (monitoring.coreos.com/v1). A key that is not here is refused, as `kubectl apply --validate=strict` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
PORT_NAME = re.compile(r"(?=.{1,15}\Z)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*\Z")
QUANTITY = re.compile(r"\d+(\.\d+)?(m|[kMGT]|[KMGT]i)?\Z")
TEXT = re.compile(r"(?s).*\Z")
LABELS = {"*": re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")}
SELECTOR = {"matchLabels!": LABELS}
META = {"name": NAME, "namespace": NAME, "labels": LABELS, "annotations": {"*": TEXT}}
NAMED = {**META, "name!": NAME}
IDENTITY = {
    "runAsNonRoot": bool,
    "runAsUser": int,
    "runAsGroup": int,
    "seccompProfile": {"type!": re.compile(r"RuntimeDefault\Z|Unconfined\Z|Localhost\Z")},
}
PROBE = {
    "httpGet!": {"path": re.compile(r"/.*\Z"), "port!": (int, PORT_NAME), "scheme": re.compile(r"HTTPS?\Z")},
    **dict.fromkeys(("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold"), int),
}
KEY = {"name!": NAME, "key!": TEXT}
FIELD = {"fieldPath!": TEXT}
CONTAINER = {
    "name!": NAME,
    "image!": TEXT,
    "command": [TEXT],
    "args": [TEXT],
    "env": [{"name!": TEXT, "value": TEXT, "valueFrom": {"secretKeyRef": KEY, "fieldRef": FIELD}}],
    "ports": [{"name": PORT_NAME, "containerPort!": int, "protocol": re.compile("TCP|UDP")}],
    **dict.fromkeys(("startupProbe", "livenessProbe", "readinessProbe"), PROBE),
    "securityContext": {
        **IDENTITY,
        "allowPrivilegeEscalation": bool,
        "readOnlyRootFilesystem": bool,
        "capabilities": {"drop": [TEXT], "add": [TEXT]},
    },
    "resources": {"requests": {"*": QUANTITY}, "limits": {"*": QUANTITY}},
    "volumeMounts": [{"name!": NAME, "mountPath!": re.compile("/"), "readOnly": bool}],
}
POD = {
    "containers!": [CONTAINER],
    "enableServiceLinks": bool,
    "automountServiceAccountToken": bool,
    "terminationGracePeriodSeconds": int,
    "securityContext": {**IDENTITY, "fsGroup": int},
}
TEMPLATE = {"metadata!": META, "spec!": POD}
CLAIM = {
    "metadata!": NAMED,
    "spec!": {
        "accessModes!": [re.compile("ReadWriteOnce|ReadOnlyMany|ReadWriteMany")],
        "resources!": {"requests!": {"*": QUANTITY}},
    },
}
WORKLOAD = {"replicas": int, "selector!": SELECTOR, "template!": TEMPLATE}
RELABELLING = {
    "sourceLabels": [re.compile(r"[a-z_]+\Z")],
    "regex": TEXT,
    "targetLabel": re.compile(r"[a-z_]+\Z"),
    "action": TEXT,
}
ENDPOINT = {
    "port": PORT_NAME,
    "path": re.compile("/"),
    "interval": re.compile(r"\d+s"),
    "honorLabels": bool,
    "relabelings": [RELABELLING],
}
PEER = {"namespaceSelector": SELECTOR, "podSelector": SELECTOR}
KINDS: dict[tuple[str, str], Any] = {
    ("apps/v1", "StatefulSet"): {
        **WORKLOAD,
        "serviceName!": NAME,
        "podManagementPolicy": re.compile("OrderedReady|Parallel"),
        "volumeClaimTemplates": [CLAIM],
    },
    ("apps/v1", "Deployment"): {**WORKLOAD, "strategy": {"type!": re.compile("Recreate|RollingUpdate")}},
    ("v1", "Service"): {
        "clusterIP": TEXT,
        "selector!": LABELS,
        "ports!": [{"name": PORT_NAME, "port!": int, "targetPort": (int, PORT_NAME)}],
    },
    ("networking.k8s.io/v1", "NetworkPolicy"): {
        "podSelector!": SELECTOR,
        "policyTypes": [re.compile("Ingress|Egress")],
        "ingress": [{"from": [PEER], "ports": [{"port": (int, PORT_NAME), "protocol": re.compile("TCP|UDP")}]}],
    },
    ("monitoring.coreos.com/v1", "PodMonitor"): {"selector!": SELECTOR, "podMetricsEndpoints!": [ENDPOINT]},
}


def complaints(document: Any) -> list[str]:
    """What the API server would say; empty where it takes the document."""
    spec = KINDS.get((document.get("apiVersion"), document.get("kind")))
    if spec is None:
        return ["no such kind"]
    whole = {"apiVersion!": TEXT, "kind!": TEXT, "metadata!": NAMED, "spec!": spec}
    return [*_wrong(document, whole, ""), *_unequal(document["spec"])]


def _wrong(value: Any, schema: Any, at: str) -> Iterator[str]:
    if isinstance(schema, tuple):
        if all(list(_wrong(value, each, at)) for each in schema):
            yield f"{at}: {value!r}"
    elif isinstance(schema, list):
        items = value if isinstance(value, list) and value else [None]
        for number, item in enumerate(items):
            yield from _wrong(item, schema[0], f"{at}[{number}]")
    elif isinstance(schema, dict):
        yield from _wrong_keys(value, schema, at) if isinstance(value, dict) else [f"{at}: no object"]
    elif isinstance(schema, re.Pattern):
        if not isinstance(value, str) or not schema.match(value):
            yield f"{at}: {value!r}"
    elif type(value) is not schema:
        yield f"{at}: {value!r} is no {schema.__name__}"


def _wrong_keys(value: dict[str, Any], schema: dict[str, Any], at: str) -> Iterator[str]:
    known = {key.removesuffix("!"): each for key, each in schema.items()}
    needed = {key[:-1] for key in schema if key.endswith("!")}
    yield from (f"{at}.{key} is missing" for key in sorted(needed - value.keys()))
    for key, item in value.items():
        each = known.get(key, known.get("*"))
        yield from [f"{at}.{key} is unknown"] if each is None else _wrong(item, each, f"{at}.{key}")


def _unequal(spec: dict[str, Any]) -> Iterator[str]:
    """What holds between parts of a workload: its selector finds its pods, mounts have volumes, probes a port."""
    template = spec.get("template")
    if template is None:
        return
    if not spec["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items():
        yield "the selector does not find the pods"
    volumes = {each["metadata"]["name"] for each in spec.get("volumeClaimTemplates", ())}
    for container in template["spec"]["containers"]:
        yield from (
            f"no volume {each['name']}" for each in container.get("volumeMounts", ()) if each["name"] not in volumes
        )
        ports = {each["name"] for each in container["ports"]}
        probes = [container[key]["httpGet"]["port"] for key in container if key.endswith("Probe")]
        yield from (f"no port {port}" for port in probes if port not in ports)
