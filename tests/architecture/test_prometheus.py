"""The alert rules speak of metrics that there are, and of what the operators' page explains."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "imsg.rules.yml"

COUNTERS = ("imsg_attempts", "imsg_dead")
"""Counters named without the ending that Prometheus' client gives them."""


def rules() -> list[dict[str, Any]]:
    """Read the rules."""
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metrics() -> set[str]:
    """Find the metrics that the services have."""
    code = "\n".join(path.read_text() for path in (*ROOT.glob("*/src/**/*.py"), *ROOT.glob("shared/*/src/**/*.py")))
    found = set(re.findall(r"(?:Counter|Gauge|Histogram)\(\s*\"(imsg_\w+)\"", code))
    return found | {f"{name}_total" for name in COUNTERS} | {f"{name}_bucket" for name in found}


def test_every_rule_speaks_of_metrics_that_there_are() -> None:
    named = {name for rule in rules() for name in re.findall(r"\bimsg_\w+", rule["expr"])}

    assert named
    assert named - metrics() == set()


def test_every_alert_has_its_remedy_on_the_operators_page() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()

    assert [rule["alert"] for rule in rules() if f"`{rule['alert']}`" not in page] == []


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool checks grammar: apt-get install promtool")
def test_promtool_takes_the_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
