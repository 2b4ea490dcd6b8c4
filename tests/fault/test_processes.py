"""Processes of ours that are killed (SIGKILL) at their work."""

import pytest

from imsg_testing.fault import IN_FLIGHT, tormented
from imsg_testing.fault_world import World

pytestmark = pytest.mark.timeout(600)


def test_a_sender_killed_in_mid_bulk(whole: World) -> None:
    with tormented(whole) as torment:
        whole.mailbox.latency_s = 0.02
        torment.clients.send(2_000)
        torment.wait_for_arrivals(300)
        whole.senders[0].process.kill()
        torment.books.restored()
        whole.senders[0].start()
    torment.tell(
        10,
        "A sender killed in mid-bulk",
        "kill -9 of one of two senders in the middle of a list of 2,000, started again.",
        twice_at_most=IN_FLIGHT,
        why="what the dead one had under way",
    )


def test_two_senders_killed_at_once(whole: World) -> None:
    with tormented(whole) as torment:
        whole.mailbox.latency_s = 0.02
        torment.clients.send(1_000)
        with torment.clients.sending(threads=2):
            torment.wait_for_arrivals(200)
            for sender in whole.senders:
                sender.process.kill()
            torment.clients.wait_for(20)
            torment.books.restored()
            for sender in whole.senders:
                sender.start()
    torment.tell(
        11,
        "Two senders killed at once",
        "kill -9 of both senders during a list of 1,000 beside single mails; both started again.",
        twice_at_most=2 * IN_FLIGHT,
        why="what the dead had under way",
    )


def test_the_gateway_killed_under_load(whole: World) -> None:
    with tormented(whole, may_break=True) as torment, torment.clients.sending(threads=8, pause_s=0.0):
        for _ in range(3):
            torment.clients.wait_for(60)
            whole.gateways[0].process.kill()
            torment.books.restored()
            whole.gateways[0].start()
        torment.clients.wait_for(60)
    torment.tell(
        12,
        "The gateway killed under load",
        "kill -9 of the only gateway, three times, while eight clients send single mails; started again each time.",
    )


def test_history_killed(whole: World) -> None:
    with tormented(whole) as torment, torment.clients.sending():
        torment.clients.wait_for(40)
        whole.history.process.kill()
        torment.clients.wait_for(100)
        torment.wait_for_arrivals(50)
        torment.books.restored()
        whole.history.start()
        torment.clients.wait_for(40)
    torment.tell(
        13,
        "history killed",
        "kill -9 of history under load; mails are accepted and sent without it; started again.",
    )


def test_auth_killed(whole: World) -> None:
    with tormented(whole) as torment, torment.clients.sending():
        torment.clients.wait_for(40)
        whole.auth.process.kill()
        torment.clients.wait_for(100)
        torment.books.restored()
        whole.auth.start()
        torment.clients.wait_for(40)
    torment.tell(14, "auth killed", "kill -9 of auth under load; known tokens go on without it; started again.")
