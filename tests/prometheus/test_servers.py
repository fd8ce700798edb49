"""What a real Alertmanager and a real Prometheus make of the files."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.integration.programs import alertmanager, configured_prometheus
from tests.prometheus.rules import FOLDER, alerts, rules_of

pytestmark = pytest.mark.integration

A, B, SHARD, BOT = {"instance": "a"}, {"instance": "b"}, {"instance": "a", "shard": "1"}, {"bot": "b"}
MUTED = [
    ("ArgusTargetDown", A, "DiscordShardDown", SHARD),
    ("ArgusTargetDown", A, "ArgusCollectorDegraded", A),
    ("ArgusTargetDown", {**A, **BOT}, "DiscordShardMissing", BOT),
    ("ArgusTargetDown", A, "ArgusAbsent", {}),
    ("DiscordReconnectStorm", BOT, "DiscordShardFlapping", {**SHARD, **BOT}),
    ("DiscordReconnectStorm", BOT, "DiscordShardZombie", {**SHARD, **BOT}),
    ("DiscordShardsDownMany", {}, "DiscordShardDown", SHARD),
    ("DiscordDeadlineMissed", {}, "DiscordAckErrorBudgetBurn", {}),
    ("DiscordAckErrorBudgetBurn", BOT, "DiscordAckErrorBudgetBurnSlow", BOT),
    ("DiscordCommandErrorBudgetBurn", {}, "DiscordCommandErrorBudgetBurnSlow", {}),
    ("DiscordShardZombie", SHARD, "DiscordShardSilent", SHARD),
    ("DiscordIdentifyBudgetExhaustion", {}, "DiscordIdentifyBudgetLow", {}),
    ("DiscordCloudflareBanned", {}, "DiscordBanImminent", {}),
    ("DiscordBanImminent", {}, "DiscordInvalidRequestsHigh", {}),
    ("DiscordEventLoopBlocked", A, "DiscordEventLoopLag", A),
    ("ArgusAnalyticsFailing", A, "ArgusAnalyticsQueueFull", A),
    ("ArgusAnalyticsLosingRows", {**A, "reason": "rows"}, "ArgusAnalyticsQueueFull", A),
]
HEARD = [
    ("ArgusTargetDown", A, "DiscordShardDown", B),
    ("ArgusTargetDown", {**A, **BOT}, "DiscordShardMissing", {"bot": "c"}),
    ("ArgusTargetDown", A, "DiscordCommandFailing", {"command": "c"}),
    ("DiscordReconnectStorm", BOT, "DiscordShardDown", {**SHARD, "bot": "c"}),
    ("DiscordReconnectStorm", BOT, "DiscordShardMissing", BOT),
    ("DiscordAckErrorBudgetBurn", {}, "DiscordCommandErrorBudgetBurnSlow", {}),
    ("DiscordAckErrorBudgetBurnSlow", {}, "DiscordAckErrorBudgetBurn", {}),
    ("DiscordShardZombie", SHARD, "DiscordShardSilent", {**SHARD, "shard": "2"}),
    ("DiscordEventLoopBlocked", A, "DiscordEventLoopLag", B),
    ("ArgusAnalyticsFailing", A, "ArgusAnalyticsQueueFull", B),
    ("ArgusAnalyticsFailing", A, "ArgusAnalyticsLosingRows", {**A, "reason": "rows"}),
]


def pairs() -> Iterator[tuple[bool, dict[str, str], dict[str, str]]]:
    """Whether the second is muted by the first; each pair is of a job of its own."""
    for number, (source, some, target, others) in enumerate([*MUTED, *HEARD]):
        job = {"job": f"job-{number}"}
        yield number < len(MUTED), {"alertname": source, **some, **job}, {"alertname": target, **others, **job}


async def test_what_is_told_already_is_muted_and_nothing_else(tmp_path: Path) -> None:
    config = yaml.safe_load((FOLDER / "alertmanager.yml").read_text("utf-8"))
    alerting = [labels for _, source, target in pairs() for labels in (source, target)]
    async with alertmanager(tmp_path, config) as port, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{port}/api/v2/alerts"
        async with http.post(url, json=[{"labels": labels} for labels in alerting]) as response:
            assert response.status == 200
        found: list[Any] = []
        async with asyncio.timeout(20):
            while len(found) < len(alerting):
                async with http.get(url) as response:
                    found = await response.json()
    muted = {frozenset(each["labels"].items()) for each in found if each["status"]["inhibitedBy"]}
    said = [(labels["alertname"], frozenset(labels.items()) in muted) for _, _, labels in pairs()]
    assert said == [(labels["alertname"], is_muted) for is_muted, _, labels in pairs()]


def test_every_alert_that_is_muted_or_mutes_is_there() -> None:
    config = yaml.safe_load((FOLDER / "alertmanager.yml").read_text("utf-8"))
    for rule in config["inhibit_rules"]:
        for (matcher,) in (rule["source_matchers"], rule["target_matchers"]):
            pattern = re.findall(r'"([^"]+)"', matcher)[0]
            assert [name for name in alerts() if re.fullmatch(pattern, name)], matcher


LABELS = {"job": "discord", "instance": "a:1", "cluster": "0", "shard": "3", "collector": "rest", "metric": "m"} | {
    "command": "play",
    "event": "message",
    "loop": "Cog.loop",
    "code": "4014",
}


def firing(rule: dict[str, Any]) -> dict[str, Any]:
    """The alert, firing at once, with every label that any has."""
    expr = "vector(1234.5678)"
    for name, value in LABELS.items():
        expr = f'label_replace({expr}, "{name}", "{value}", "", "")'
    return {key: value for key, value in rule.items() if key != "for"} | {"expr": expr}


async def test_what_an_alert_says_can_be_read(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    group = {"name": "all", "interval": "1s", "rules": [firing(rule) for rule in alerts().values()]}
    rules.write_text(yaml.safe_dump({"groups": [group]}), "utf-8")
    found: list[Any] = []
    async with configured_prometheus(tmp_path, {"rule_files": [str(rules)]}) as prometheus, asyncio.timeout(30):
        while len(found) < len(alerts()):
            found = (await prometheus.get("alerts"))["alerts"]
            await asyncio.sleep(0.05)
    for alert in found:
        said = " ".join(alert["annotations"].values())
        assert not re.search(r"<error|<no value>|\{\{|\}\}|\d\.\d{5}|  |: :", said), said
        assert alert["annotations"]["summary"].startswith("discord") or alert["labels"]["alertname"] == "ArgusAbsent"


PODS = [
    ({"pod_ip": "10.0.0.7"}, "10.0.0.7:9191", "/metrics"),
    ({"pod_ip": "fd00::7", "pod_annotation_prometheus_io_path": "/own"}, "[fd00::7]:9191", "/own"),
    ({"pod_annotation_prometheus_io_scrape": "false"}, None, None),
    ({"pod_phase": "Succeeded"}, None, None),
]
POD = {
    "pod_ip": "10.0.0.9",
    "pod_phase": "Running",
    "pod_name": "my-bot-0",
    "namespace": "bots",
    "pod_annotation_prometheus_io_scrape": "true",
    "pod_annotation_prometheus_io_port": "9191",
    "pod_label_app_kubernetes_io_instance": "my-bot",
    "pod_label_apps_kubernetes_io_pod_index": "0",
}


async def test_pods_are_found_by_their_annotations(tmp_path: Path) -> None:
    (job,) = yaml.safe_load((FOLDER / "kubernetes" / "scrape.yml").read_text("utf-8"))["scrape_configs"]
    del job["kubernetes_sd_configs"]
    pods = [{f"__meta_kubernetes_{name}": value for name, value in (POD | pod).items()} for pod, *_ in PODS]
    job["static_configs"] = [{"targets": [f"pod-{number}"], "labels": pod} for number, pod in enumerate(pods)]
    active: list[Any] = []
    async with configured_prometheus(tmp_path, {"scrape_configs": [job]}) as prometheus, asyncio.timeout(30):
        while not active:
            active = (await prometheus.get("targets"))["activeTargets"]
            await asyncio.sleep(0.05)
    wanted = {f"http://{address}{path}" for _, address, path in PODS if address}
    assert {target["scrapeUrl"] for target in active} == wanted
    for target in active:
        labels = {"job": "discord", "bot": "my-bot", "cluster": "0", "namespace": "bots", "pod": "my-bot-0"}
        assert target["labels"] == labels | {"instance": target["scrapeUrl"].split("/")[2]}


def test_the_operator_gets_every_rule_as_one_object() -> None:
    text = (FOLDER / "kubernetes" / "README.md").read_text("utf-8")
    (command,) = re.findall(r"(?ms)^```bash\n(.*?)^```", text)
    made = subprocess.run(
        ["bash", "-c", command.replace("| kubectl apply -f -", "")], cwd=FOLDER, capture_output=True, check=True
    )
    document = yaml.safe_load(made.stdout)
    assert (document["kind"], document["metadata"]["name"]) == ("PrometheusRule", "argus-exporter")
    assert {rule["alert"]: rule for rule in rules_of(document["spec"]) if "alert" in rule} == alerts()


def test_the_manifests_belong_together() -> None:
    bot, monitor = (
        yaml.safe_load((FOLDER / "kubernetes" / f"{name}.yml").read_text("utf-8"))
        for name in ("statefulset", "podmonitor")
    )
    template = bot["spec"]["template"]
    (container,) = template["spec"]["containers"]
    (port,) = container["ports"]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == port["name"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert bot["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
