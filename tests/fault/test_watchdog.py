"""A message that sets a process spinning, and processes that are stopped for a minute: who pays, and who does not."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from imsg_testing.api import wait
from imsg_testing.fault import IN_FLIGHT, tormented
from imsg_testing.fault_embedded import embedded
from imsg_testing.fault_spin import SPINS
from imsg_testing.fault_world import World
from imsg_testing.processes import descendants

pytestmark = pytest.mark.timeout(900)

SINGLES = 20

MINUTE_S = 60.0


@pytest.mark.parametrize("processor_s", [pytest.param(2.0, marks=pytest.mark.quick), 20.0])
def test_a_message_that_spins(tmp_path: Path, processor_s: float) -> None:
    command = [sys.executable, "-m", "imsg_testing.fault_spin", str(processor_s)]
    with embedded(tmp_path, command=command) as whole:
        with tormented(whole, may_break=True) as torment:
            for _ in range(SINGLES // 2):
                torment.clients.send()
            torment.clients.subject = SPINS
            poison = torment.clients.send()
            torment.clients.subject = "故障"
            for _ in range(SINGLES // 2):
                torment.clients.send()
            torment.books.restored()
            wait(lambda: whole.said.count("of processor time without a sign of life") == 3, 600, every_s=0.5)
            whole.wait_until_whole()
            whole.settled(poison, within_s=180)
        assert torment.balance is not None
        assert torment.balance.failed == 1
        (dead,) = whole.call("GET", "/api/v2/dead", token=whole.token())["dead"]
        assert dead["request"] == poison
        (message,) = whole.messages(poison)
        assert message["error"]["code"] == "dead_letter"
        assert "in prepare" in whole.said, "it says where it stood"
        assert whole.call("GET", "/health/live")["errorCode"] == 0
        assert whole.said.count("of processor time without a sign of life") == 3
    torment.tell(
        92 if processor_s > 2.0 else 93,
        f"A message that spins among {SINGLES}" + ("" if processor_s > 2.0 else ", with less patience"),
        f"A regular expression never ends over its subject; all of `imsg up` stands. Its parent ends it after "
        f"{processor_s:.0f} s of processor time and starts it anew; after three times it is a dead letter.",
        twice_at_most=IN_FLIGHT,
        why="what was under way beside it at the first death",
    )


@pytest.mark.parametrize("whom", ["all of it", "the child alone"])
def test_a_sender_stopped_for_a_minute_three_times(whole: World, whom: str) -> None:
    with tormented(whole) as torment, torment.clients.sending(threads=2, pause_s=0.5):
        whole.mailbox.latency_s = 0.5
        torment.clients.send(600)
        sender, other = (one.process for one in whole.senders)
        for _ in range(3):
            torment.wait_for_arrivals(20)
            if whom == "all of it":
                sender.pause()
            else:
                os.kill(descendants(sender.pid)[0], signal.SIGSTOP)
            time.sleep(MINUTE_S)  # the fault itself
            sender.signal(signal.SIGCONT)
            sender, other = other, sender
        torment.books.restored()
        whole.mailbox.latency_s = 0.0
    assert torment.balance is not None
    assert torment.balance.failed == 0
    assert whole.call("GET", "/api/v2/dead", token=whole.token())["dead"] == []
    said = "\n".join(one.process.last_lines(100_000) for one in whole.senders)
    assert "of processor time" not in said
    assert said.count("was stopped") == (3 if whom == "the child alone" else 0)
    torment.tell(
        15 if whom == "all of it" else 16,
        "A sender stopped for a minute, three times" + ("" if whom == "all of it" else ", its parent not"),
        "SIGSTOP of one of two senders, then of the other, and again, during a list of 600 beside single mails"
        + ("." if whom == "all of it" else ": its parent ends it before the minute is over, and starts it anew.")
        + " No message is counted out for it.",
        twice_at_most=3 * IN_FLIGHT,
        why="what it had under way when it was stopped, which others took over",
    )
