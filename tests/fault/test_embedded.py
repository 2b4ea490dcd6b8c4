"""`imsg up`: its parent killed alone, and a full disk."""

import os
from pathlib import Path

import pytest

from imsg_testing.fault import IN_FLIGHT, inject_faults
from imsg_testing.fault_embedded import run_embedded
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(900)


def test_the_parent_killed_alone(tmp_path: Path) -> None:
    with run_embedded(tmp_path) as deployment:
        with inject_faults(deployment, may_break=True) as fault, fault.clients.sending():
            deployment.mailbox.latency_s = 0.02
            fault.clients.send(1_000)
            fault.wait_for_arrivals(200)
            children = deployment.kill_alone()
            assert len(children) > 1, "the server, and a Valkey of its own"
            wait(lambda: not any(_runs(pid) for pid in children), 60)
            fault.reconciler.record_restored()
            deployment.start()
            fault.clients.wait_for(40)
        fault.report(
            90,
            "`imsg up` killed",
            "kill -9 of the parent alone during a list of 1,000 beside single mails: its Valkey goes with it, and a "
            "new start works at once.",
            twice_at_most=IN_FLIGHT,
            why="what it had under way",
        )


def test_a_full_disk(tmp_path: Path) -> None:
    with run_embedded(tmp_path, disk_mib=64) as deployment:
        with inject_faults(deployment) as fault, fault.clients.sending():
            deployment.mailbox.latency_s = 0.02
            fault.clients.send(300)
            fault.wait_for_arrivals(50)
            ballast = deployment.fill()
            fault.clients.wait_for_refusals(10)
            fault.reconciler.record_restored()
            ballast.unlink()
            fault.clients.wait_for(40)
        fault.report(
            91,
            "A full disk",
            "The disk under `imsg up` (64 MiB) filled to the last byte during a list of 300 beside single mails; "
            "room made again, nothing restarted.",
            twice_at_most=IN_FLIGHT,
            why="what was under way when nothing could be written down",
        )


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
