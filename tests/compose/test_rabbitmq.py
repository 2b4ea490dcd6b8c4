"""The broker's container: configured by deploy/rabbitmq/, with its metrics beside those of iMSG."""

import json
from pathlib import Path
from typing import Any

import pytest

from imsg_testing.compose import Containers

POLICIES = Path(__file__).parents[2] / "deploy" / "rabbitmq" / "policies.json"

WITHIN_S = 300.0
"""Each question starts an Erlang of its own, which takes its time on a busy machine."""

pytestmark = pytest.mark.timeout(1_200)


def ask_rabbitmq(containers: Containers, *command: str) -> Any:  # noqa: ANN401  the tool's own shapes
    """Return the rows of a rabbitmqctl command."""
    return json.loads(
        containers.compose("exec", "-T", "rabbitmq", "rabbitmqctl", "--quiet", "--formatter", "json", *command)
    )


def test_every_queue_is_under_our_policy(containers: Containers) -> None:
    (policy,) = json.loads(POLICIES.read_text())["policies"]

    def all_are() -> bool:
        rows = ask_rabbitmq(containers, "list_queues", "name", "policy")
        return bool(rows) and all(row["policy"] == policy["name"] for row in rows)

    containers.wait(all_are, WITHIN_S)


def test_the_limits_are_those_of_the_container(containers: Containers) -> None:
    output = containers.compose(
        "exec", "-T", "rabbitmq", "rabbitmqctl", "eval", "application:get_env(rabbit, vm_memory_high_watermark)."
    )
    assert "absolute" in output
    assert containers.inspect("rabbitmq")["HostConfig"]["Memory"] == 1024**3


def test_what_waits_by_the_broker_s_numbers_waits_by_ours(containers: Containers) -> None:
    def agree() -> bool:
        rows = ask_rabbitmq(containers, "list_queues", "name", "messages")
        waiting = {row["name"]: row["messages"] for row in rows}
        channels = containers.call("GET", "/api/v2/channels", token=containers.token)["channels"]
        return all(
            channel["waiting"]
            == sum(waiting[f"imsg.{channel['method']}.{lane}"] for lane in ("priority", "normal", "bulk"))
            for channel in channels
        )

    containers.wait(agree, WITHIN_S)
