"""Administrators manage channels and dead letters on the command line."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from imsg.valkey import find_running
from imsg_broker.port import Broker
from imsg_channels import METHODS
from imsg_contract.topology import DEAD, Lane
from imsg_testing.brokers import arrivals, open_ready
from imsg_testing.command_line import Ended
from imsg_testing.deployment import Deployment, running
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long  # waits for delays and pauses

UNREADABLE = 520
"""More than a page of the API (500)."""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Run an iMSG of this module's own, since its channels are paused."""
    with running(tmp_path_factory.mktemp("operation")) as opened:
        opened.open_wide()
        done = run_verb(opened, "login", "admin", "--password", "123")
        assert done.returncode == 0, done.stderr
        yield opened


def run_verb(deployment: Deployment, *words: str) -> Ended:
    """Run a verb."""
    return deployment.run(*words, COLUMNS="200")


def lines(done: Ended) -> list[list[str]]:
    """Return the words of each line of a verb's output."""
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def count_consumers(deployment: Deployment) -> int:
    """Return how many senders consume the queues of mail."""
    channels = deployment.call("GET", "/api/v2/channels", token=deployment.token())["channels"]
    return int(channels[0]["consumers"])


def test_a_channel_is_paused_with_a_reason_what_is_sent_waits_and_goes_out_when_it_is_resumed(
    deployment: Deployment,
) -> None:
    said = lines(run_verb(deployment, "channels"))
    assert said[1 : 1 + len(METHODS)] == [[method, "open", "0"] for method in METHODS]
    assert said[1 + len(METHODS)] == [], "the providers follow"

    done = run_verb(deployment, "channels", "pause", "smtp", "--reason", "邮件服务器搬迁")
    assert done.stdout == "smtp is paused; 0 wait.\n", done.stderr
    accepted = deployment.send("zhang@example.com")
    assert accepted["errorCode"] == 0
    wait(lambda: count_consumers(deployment) == 0, 60)
    assert lines(run_verb(deployment, "channels"))[1] == ["smtp", "paused", "1", "normal", "1", "邮件服务器搬迁"]
    smtp = json.loads(run_verb(deployment, "channels", "--json").stdout)["channels"][0]
    assert [(provider["name"], provider["enabled"]) for provider in smtp.pop("providers")] == [("default", True)]
    assert smtp == {
        "method": "smtp",
        "state": "paused",
        "why": "邮件服务器搬迁",
        "until": None,
        "waiting": 1,
        "lanes": {"priority": 0, "normal": 1, "bulk": 0, "test": 0},
        "consumers": 0,
        "late_s": 0,
        "senders": [],
        "reply_to": [],
        "signatures": {},
    }
    wait(lambda: [message["status"] for message in deployment.messages(accepted["id"])] == ["queued"], 60)

    assert json.loads(run_verb(deployment, "channels", "resume", "smtp", "--json").stdout)["state"] == "open"
    assert [message["status"] for message in deployment.wait_settled(accepted["id"])] == ["sent"]
    done = run_verb(deployment, "channels", "pause", "pigeon")
    assert (done.returncode, done.stdout) == (1, "")
    assert "10016" in done.stderr


def test_dead_letters_are_listed_to_the_last_shown_and_sent_anew_once(deployment: Deployment) -> None:
    assert run_verb(deployment, "dead-letters").stdout == "No dead letters.\n"
    run_verb(deployment, "channels", "pause", "smtp")
    wait(lambda: count_consumers(deployment) == 0, 60)
    accepted = [deployment.send(f"dead{n}@example.com", subject=f"dead {n}") for n in range(2)]
    asyncio.run(_dead_letter(deployment, [answer["id"] for answer in accepted]))
    wait(lambda: len(_list_dead_letters(deployment)) == UNREADABLE + 2, 60)

    assert "There are more" in run_verb(deployment, "dead-letters").stdout
    buried = [letter for letter in _list_dead_letters(deployment) if letter["request"]]
    assert {letter["request"] for letter in buried} == {answer["id"] for answer in accepted}
    assert [letter["id"] for letter in _list_dead_letters(deployment, "--reason", "broke")] == [
        letter["id"] for letter in buried
    ]
    shown = run_verb(deployment, "dead-letters", "show", buried[0]["id"]).stdout
    assert "broke the worker 3 times" in shown
    assert '"address":"dead' in shown
    assert deployment.wait_audited(action="dead_letter_read", target=buried[0]["id"])["actor"] == "admin"
    wait(lambda: [message["status"] for message in deployment.messages(accepted[0]["id"])] == ["failed"], 60)

    done = run_verb(deployment, "dead-letters", "resend", "--all")
    assert (done.returncode, done.stdout) == (2, ""), "it asks, and here is nobody to be asked"
    for _ in range(2):
        done = run_verb(deployment, "dead-letters", "resend", "--all", "--yes")
        assert done.stdout.count("1 message accepted") == 2, done.stderr
    run_verb(deployment, "channels", "resume", "smtp")
    assert deployment.wait_audited(action="dead_letter_resend", target=buried[1]["id"])["request"]
    for n in range(2):
        deployment.wait_arrived(subject=f"dead {n}", method="smtp", to=f"dead{n}@example.com")
    wait(lambda: deployment.call("GET", "/api/v2/channels", token=deployment.token())["channels"][0]["waiting"] == 0)
    assert len([mail for mail in deployment.inbox(method="smtp") if mail["subject"].startswith("dead")]) == 2


def test_what_holds_no_message_can_be_read_and_not_sent(deployment: Deployment) -> None:
    unreadable = next(letter for letter in _list_dead_letters(deployment) if not letter["request"])
    shown = json.loads(run_verb(deployment, "dead-letters", "show", unreadable["id"], "--json").stdout)
    assert shown["body"].startswith("what is this")
    done = run_verb(deployment, "dead-letters", "resend", unreadable["id"], "f" * 32)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2, "each is said, the first does not stop the second"
    done = run_verb(deployment, "dead-letters", "resend", unreadable["id"], "--json")
    (answer,) = json.loads(done.stdout)["requests"]
    assert (done.returncode, answer["letter"], answer["reason"]) == (1, unreadable["id"], "nothing_to_resend")
    path = f"/api/v2/dead/{unreadable['id']}"
    assert deployment.call("DELETE", path, token=deployment.token())["errorCode"] == 0
    assert deployment.wait_audited(action="dead_letter_removed", target=unreadable["id"])["actor"] == "admin"


def _list_dead_letters(deployment: Deployment, *options: str) -> list[dict[str, str]]:
    done = run_verb(deployment, "dead-letters", "--limit", "1000", "--json", *options)
    letters: list[dict[str, str]] = json.loads(done.stdout)["dead"]
    return letters


async def _dead_letter(deployment: Deployment, requests: Sequence[str]) -> None:
    """Dead-letter the jobs of a paused channel as a sender does, among many unreadable messages."""
    url = find_running(deployment.data)
    assert url is not None
    async with open_ready(url) as broker:
        for start in range(0, UNREADABLE, 65):
            await asyncio.gather(*(_unreadable(broker, n) for n in range(start, start + 65)))
        queue = broker.topology.queue("smtp", Lane.NORMAL)
        async with broker.consume(queue, len(requests)) as deliveries:
            for delivery in await arrivals(deliveries, len(requests)):
                await broker.dead_letter(delivery, "broke the worker 3 times")


async def _unreadable(broker: Broker, number: int) -> None:
    body = f"what is this {number}".encode()
    await broker.publish(body, broker.topology.new(DEAD), {"reason": "unreadable", "queue": "imsg.smtp.bulk"})


def test_only_administrators_see_and_change_any_of_it(deployment: Deployment, tmp_path: Path) -> None:
    name = deployment.new_user()
    for words, code in (
        (("login", name, "--password", "correct horse"), 0),
        (("dead-letters",), 1),
        (("channels", "pause", "smtp"), 1),
    ):
        done = deployment.run(*words, XDG_CONFIG_HOME=str(tmp_path))
        assert done.returncode == code, done.stderr
        assert ("10016" in done.stderr) == bool(code)
