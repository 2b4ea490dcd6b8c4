"""Containers are killed at random under load and recover: every accepted message settles, none is lost."""

import os
import secrets
import time
from contextlib import closing
from functools import partial

import pytest

from imsg_testing.compose import Containers
from imsg_testing.compose_faults import ContainerDeployment, Killer
from imsg_testing.fault_clients import Clients, mail_address, mainland_number
from imsg_testing.reconciliation import Reconciler

pytestmark = pytest.mark.timeout(2_400)

LASTS_S = float(os.environ.get("IMSG_TEST_FAULTS_S", "120"))
SEED = int(os.environ.get("IMSG_TEST_SEED", "0")) or secrets.randbelow(10**6)

WITHIN_S = {"smtp": 300.0, "sms": 900.0}
"""A provider that died over a call is asked what became of it for 12 min and a half, before it is sent again."""

IN_FLIGHT = 32
"""Mails that one sender may have under way at once: what a crash can repeat."""


def test_random_deaths_of_containers_lose_nothing(containers: Containers, capsys: pytest.CaptureFixture[str]) -> None:
    containers.scale(gateway=2, sender_sms=3)
    deployment = ContainerDeployment(containers)
    mails, texts = Clients(deployment), Clients(deployment, "sms", mainland_number)
    with closing(deployment.client), closing(mails), closing(texts):
        ways = {"smtp": (mails, mail_address), "sms": (texts, mainland_number)}
        with Killer(containers, SEED, (3, 8)) as killer, mails.sending(2), texts.sending(2):
            time.sleep(LASTS_S)  # the faults themselves: nothing is waited for
            killer.stop()
        deployment.wait_until_ready()

        for method, (clients, address) in ways.items():
            ours = {address(clients.name, number) for number in range(100_000)}
            reconciler = Reconciler(deployment, clients, partial(deployment.count_received, method, ours))
            reconciliation = reconciler.reconcile(WITHIN_S[method])
            with capsys.disabled():
                print(f"\n{method}: {reconciliation}")  # noqa: T201  the figures are what the run is for
            assert reconciliation.accepted > LASTS_S / 10
            assert reconciliation.settled == reconciliation.accepted
            assert reconciliation.lost == 0
            if method == "sms":
                assert reconciliation.duplicates == 0, "what is in doubt is asked about, or settled uncertain"
            else:
                assert reconciliation.duplicates <= IN_FLIGHT * killer.killed.total()
        with capsys.disabled():
            print(f"seed {SEED}, killed {dict(killer.killed)}")  # noqa: T201
