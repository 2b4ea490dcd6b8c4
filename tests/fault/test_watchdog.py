"""A message with an endless regular expression, and processes stopped for a minute."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from imsg_testing.fault import IN_FLIGHT, inject_faults
from imsg_testing.fault_embedded import run_embedded
from imsg_testing.fault_spin import SPINS
from imsg_testing.processes import descendants
from imsg_testing.services import Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(900)

SINGLES = 20

MINUTE_S = 60.0


@pytest.mark.parametrize("processor_s", [pytest.param(2.0, marks=[pytest.mark.quick, pytest.mark.long]), 20.0])
def test_a_message_that_spins(tmp_path: Path, processor_s: float) -> None:
    command = [sys.executable, "-m", "imsg_testing.fault_spin", str(processor_s)]
    with run_embedded(tmp_path, command=command) as deployment:
        with inject_faults(deployment, may_break=True) as fault:
            for _ in range(SINGLES // 2):
                fault.clients.send()
            fault.clients.subject = SPINS
            poison = fault.clients.send()
            fault.clients.subject = "故障"
            for _ in range(SINGLES // 2):
                fault.clients.send()
            fault.reconciler.record_restored()
            wait(lambda: deployment.logs.count("of processor time without a sign of life") == 3, 600, every_s=0.5)
            deployment.wait_until_ready()
            deployment.wait_settled(poison, within_s=180)
        assert fault.reconciliation is not None
        assert fault.reconciliation.failed == 1
        (dead,) = deployment.call("GET", "/api/v2/dead", token=deployment.token())["dead"]
        assert dead["request"] == poison
        (message,) = deployment.messages(poison)
        assert message["error"]["code"] == "dead_letter"
        assert "in prepare" in deployment.logs, "it says where it stood"
        assert deployment.call("GET", "/health/live")["errorCode"] == 0
        assert deployment.logs.count("of processor time without a sign of life") == 3
    fault.report(
        92 if processor_s > 2.0 else 93,
        f"A message that spins among {SINGLES}" + ("" if processor_s > 2.0 else ", with less patience"),
        f"A regular expression never ends over its subject; all of `imsg up` stands. Its parent ends it after "
        f"{processor_s:.0f} s of processor time and starts it anew; after three times it is a dead letter.",
        twice_at_most=IN_FLIGHT,
        why="what was under way beside it at the first death",
    )


@pytest.mark.parametrize("whom", ["all of it", "the child alone"])
def test_a_sender_stopped_for_a_minute_three_times(deployment: Services, whom: str) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending(threads=2, pause_s=0.5):
        deployment.mailbox.latency_s = 0.5
        fault.clients.send(600)
        sender, other = (sender.process for sender in deployment.senders)
        for _ in range(3):
            fault.wait_for_arrivals(20)
            if whom == "all of it":
                sender.pause()
            else:
                os.kill(descendants(sender.pid)[0], signal.SIGSTOP)
            time.sleep(MINUTE_S)  # the fault itself
            sender.signal(signal.SIGCONT)
            sender, other = other, sender
        fault.reconciler.record_restored()
        deployment.mailbox.latency_s = 0.0
    assert fault.reconciliation is not None
    assert fault.reconciliation.failed == 0
    assert deployment.call("GET", "/api/v2/dead", token=deployment.token())["dead"] == []
    said = "\n".join(sender.process.last_lines(100_000) for sender in deployment.senders)
    assert "of processor time" not in said
    assert said.count("was stopped") == (3 if whom == "the child alone" else 0)
    fault.report(
        15 if whom == "all of it" else 16,
        "A sender stopped for a minute, three times" + ("" if whom == "all of it" else ", its parent not"),
        "SIGSTOP of one of two senders, then of the other, and again, during a list of 600 beside single mails"
        + ("." if whom == "all of it" else ": its parent ends it before the minute is over, and starts it anew.")
        + " No message is counted out for it.",
        twice_at_most=3 * IN_FLIGHT,
        why="what it had under way when it was stopped, which others took over",
    )
