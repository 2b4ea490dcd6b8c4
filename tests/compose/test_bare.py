"""The containers without any setting: no sandbox, no provider, no documented password, no restarts."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imsg_channels import CHANNELS
from imsg_testing.compose import ROOT, Containers, running

pytestmark = pytest.mark.timeout(1_200)


@pytest.fixture(scope="module")
def bare() -> Iterator[Containers]:
    """Yield the stack without any setting."""
    with running(Path(os.devnull)) as containers:
        yield containers


def test_the_compose_file_needs_no_settings_and_complains_of_none() -> None:
    asked = ["docker", "compose", "--env-file", os.devnull, "config", "--quiet"]
    result = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_all_are_healthy_and_none_was_started_again(bare: Containers) -> None:
    states = [json.loads(line) for line in bare.compose("ps", "--format", "json").splitlines()]

    assert {state["Health"] for state in states} == {"healthy"}
    assert "sandbox" not in {state["Service"] for state in states}
    for service in (channel.service for channel in CHANNELS):
        assert bare.inspect(service)["RestartCount"] == 0
        assert bare.compose("logs", "--no-log-prefix", service).count("no_provider") == 1


def test_a_channel_without_a_provider_reports_what_to_set_and_accepts_nothing(bare: Containers) -> None:
    def channels() -> dict[str, str]:
        told = bare.call("GET", "/api/v2/channels", token=bare.token)["channels"]
        return {channel["method"]: f"{channel['state']}: {channel['why']}" for channel in told}

    bare.wait(lambda: all("IMSG_" in state for state in channels().values()))
    assert all(state.startswith("blocked: no provider is configured: set IMSG_") for state in channels().values())

    sends: dict[str, dict[str, Any]] = {
        "smtp": {"to": "a@example.com", "content": {"subject": "x", "text": "y"}},
        "sms": {"to": "13800138000", "content": "x"},
        "wechat": {"to": "7K3-M9Q-2XF", "content": "x"},
    }
    answers = {
        method: bare.call("POST", "/api/send", {"token": bare.token, "method": method, **send})
        for method, send in sends.items()
    }
    assert {method: answer["errorCode"] for method, answer in answers.items()} == {
        "smtp": 10012,
        "sms": 10012,
        "wechat": 10015,
    }
    assert answers["smtp"]["reason"] == answers["sms"]["reason"] == "no_provider"


def test_there_is_no_sandbox_and_no_documented_account(bare: Containers) -> None:
    assert bare.client.get("/sandbox/inbox", params={"token": bare.token}).status_code == 404
    for name, password in (("admin", "123"), ("天存-system-1001", "123456")):
        assert bare.call("POST", "/api/login", {"username": name, "password": password})["errorCode"] in (10006, 10007)
