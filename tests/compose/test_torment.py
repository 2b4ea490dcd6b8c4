"""Containers die at random under load, and come back without a hand: every accepted message settles, none is lost."""

import os
import secrets
import time
from contextlib import closing

import pytest

from imsg_testing.compose import Containers
from imsg_testing.compose_torment import Killer, Tormented
from imsg_testing.fault_books import Books
from imsg_testing.fault_clients import Clients, mail_address, mainland_number

pytestmark = pytest.mark.timeout(2_400)

LASTS_S = float(os.environ.get("IMSG_TEST_TORMENT_S", "120"))
SEED = int(os.environ.get("IMSG_TEST_SEED", "0")) or secrets.randbelow(10**6)

WITHIN_S = {"smtp": 300.0, "sms": 900.0}
"""A firm that died over a call is asked what became of it for 12 min and a half, before it is sent again."""

IN_FLIGHT = 32
"""Mails that one sender may have under way at once: what a crash can repeat."""


def test_random_deaths_of_containers_lose_nothing(stack: Containers, capsys: pytest.CaptureFixture[str]) -> None:
    stack.scale(gateway=2, sender_sms=3)
    whole = Tormented(stack)
    mails, texts = Clients(whole), Clients(whole, "sms", mainland_number)
    with closing(whole.client), closing(mails), closing(texts):
        ways = {"smtp": (mails, mail_address), "sms": (texts, mainland_number)}
        with Killer(stack, SEED, (3, 8)) as killer, mails.sending(2), texts.sending(2):
            time.sleep(LASTS_S)  # the torment itself: nothing is waited for
            killer.stop()
        whole.wait_until_whole()

        for method, (clients, address) in ways.items():
            ours = {address(clients.name, number) for number in range(100_000)}
            books = Books(whole, clients, lambda method=method, ours=ours: whole.received(method, ours))  # type: ignore[misc]
            balance = books.balance(WITHIN_S[method])
            with capsys.disabled():
                print(f"\n{method}: {balance}")  # noqa: T201  the figures are what the run is for
            assert balance.accepted > LASTS_S / 10
            assert balance.settled == balance.accepted
            assert balance.lost == 0
            if method == "sms":
                assert balance.duplicates == 0, "what is in doubt is asked about, or settled uncertain"
            else:
                assert balance.duplicates <= IN_FLIGHT * killer.killed.total()
        with capsys.disabled():
            print(f"seed {SEED}, killed {dict(killer.killed)}")  # noqa: T201
