"""Alert rules and dashboard use existing metrics, and the operators' page explains them."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "imsg.rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "imsg.json"
PLAYED = RULES.with_name("imsg.rules.test.yml")


def rules() -> list[dict[str, Any]]:
    """Read the rules."""
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[str]:
    """Read what the dashboard's panels ask, with Grafana's own variable filled in."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [expression.replace("$__rate_interval", "5m") for expression in asked]


def metrics() -> set[str]:
    """Find the metrics that the services have."""
    code = "\n".join(path.read_text() for path in (*ROOT.glob("*/src/**/*.py"), *ROOT.glob("shared/*/src/**/*.py")))
    matches = set(re.findall(r"(?:Counter|Gauge|Histogram)\(\s*\"(imsg_\w+)\"", code))
    counters = set(re.findall(r"Counter\(\s*\"(imsg_\w+)\"", code))  # the client ends their names with _total
    return (
        matches
        | {f"{name.removesuffix('_total')}_total" for name in counters}
        | {f"{name}_{end}" for name in matches for end in ("bucket", "count")}
    )


def test_every_rule_speaks_of_metrics_that_there_are() -> None:
    named = {name for rule in rules() for name in re.findall(r"\bimsg_\w+", rule["expr"])}

    assert named
    assert named - metrics() == set()


def test_every_panel_speaks_of_metrics_that_there_are() -> None:
    named = [set(re.findall(r"\bimsg_\w+", query)) for query in queries()]

    assert all(named)
    assert set().union(*named) - metrics() == set()


@pytest.mark.long
def test_promtool_takes_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"query_{n}", "expr": query} for n, query in enumerate(queries())]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    run("promtool", "check", "rules", str(tmp_path / "rules.yml"))


def test_every_alert_has_its_remedy_on_the_operators_page() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()

    assert [rule["alert"] for rule in rules() if f"`{rule['alert']}`" not in page] == []


@pytest.mark.long
def test_every_alert_fires_and_stays_silent_when_all_is_well() -> None:
    played = yaml.safe_load(PLAYED.read_text())["tests"]
    silent, *firing = played
    alerts = {rule["alert"] for rule in rules()}

    assert {each["alertname"] for each in silent["alert_rule_test"]} == alerts
    assert not any(each["exp_alerts"] for each in silent["alert_rule_test"])
    tried = [each for test in firing for each in test["alert_rule_test"]]
    assert {each["alertname"] for each in tried if each["exp_alerts"]} == alerts
    assert {each["alertname"] for each in tried if not each["exp_alerts"]} == alerts, "almost, and it stays silent"
    run("promtool", "check", "rules", str(RULES))
    run("promtool", "test", "rules", str(PLAYED))


def test_alertmanager_inhibits_alerts_that_there_are() -> None:
    config = yaml.safe_load((ROOT / "deploy/alertmanager/alertmanager.yml").read_text())
    matchers = [matcher for rule in config["inhibit_rules"] for side in rule.values() for matcher in side]
    patterns = [matcher.partition("=")[2].lstrip("~ ") for matcher in matchers]
    alerts = [rule["alert"] for rule in rules()]

    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, alert) for alert in alerts)] == []
    assert {config["route"]["receiver"]} == {receiver["name"] for receiver in config["receivers"]}


@pytest.mark.long
@pytest.mark.parametrize("name", ["scrape.yml", "kubernetes.yml"])
def test_promtool_takes_what_scrapes_and_it_names_the_service(name: str) -> None:
    (job,) = yaml.safe_load(RULES.with_name(name).read_text())["scrape_configs"]

    run("promtool", "check", "config", str(RULES.with_name(name)))
    assert job["job_name"] == "imsg"
    assert "service" in {rule.get("target_label") for rule in job["relabel_configs"]}


@pytest.mark.long
def test_amtool_takes_the_configuration_of_alertmanager() -> None:
    run("amtool", "check-config", str(ROOT / "deploy/alertmanager/alertmanager.yml"))


def run(*command: str) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
