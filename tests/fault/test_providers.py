"""Mail servers that hang, cut, are away and come back; a message that kills; clocks that lie."""

from pathlib import Path

import pytest

from imsg_testing.api import wait
from imsg_testing.fault import IN_FLIGHT, tormented
from imsg_testing.fault_mail import Manner
from imsg_testing.fault_providers import Workers
from imsg_testing.fault_world import Plan, World, world

pytestmark = pytest.mark.timeout(900)

LEFT_ALONE_S = 600.0
"""A server that failed three times in a row is left alone, and what it is meant to get waits a step of up to 5 min."""

SINGLES = 50


def test_a_mail_server_that_hangs(whole: World) -> None:
    with tormented(whole, within_s=LEFT_ALONE_S) as torment, torment.clients.sending():
        whole.mailbox.manner = Manner.HANG
        torment.clients.send(100)
        wait(lambda: whole.mailbox.under_way >= IN_FLIGHT, 60)
        torment.clients.wait_for(40)
        torment.books.restored()
        whole.mailbox.manner = Manner.TAKE
        whole.mailbox.hang_up()
    torment.tell(
        41,
        "A mail server that hangs",
        "It reads mails and answers none of them, then is restarted: its connections break, and it takes mail again.",
    )


def test_a_mail_server_that_resets_before_it_has_a_mail(whole: World) -> None:
    with tormented(whole, within_s=LEFT_ALONE_S) as torment, torment.clients.sending():
        whole.mailbox.manner = Manner.RESET_BEFORE
        torment.clients.send(100)
        torment.clients.wait_for(100)
        torment.books.restored()
        whole.mailbox.manner = Manner.TAKE
    torment.tell(
        42, "A mail server that resets before accepting", "It cuts every connection when a mail is announced; recovers."
    )


def test_a_mail_server_that_resets_after_it_has_a_mail(whole: World) -> None:
    with tormented(whole, within_s=LEFT_ALONE_S) as torment, torment.clients.sending():
        whole.mailbox.manner = Manner.RESET_AFTER
        torment.clients.send(100)
        torment.wait_for_arrivals(4)
        torment.clients.wait_for(40)
        torment.books.restored()
        whole.mailbox.manner = Manner.TAKE
        unanswered = torment.received()
    torment.tell(
        43,
        "A mail server that resets after accepting",
        "It takes each mail and cuts the connection instead of saying so; recovers.",
        twice_at_most=unanswered,
        why="the mails it took without a word, repeated under the same Message-ID as RFC 5321 asks",
    )


def test_a_mail_server_that_is_away(whole: World) -> None:
    with tormented(whole, within_s=LEFT_ALONE_S) as torment, torment.clients.sending():
        whole.mailbox.manner = Manner.AWAY
        whole.mailbox.hang_up()
        torment.clients.send(100)
        torment.clients.wait_for(100)
        torment.books.restored()
        whole.mailbox.manner = Manner.TAKE
    torment.tell(44, "A mail server under maintenance", "It greets with 421 and hangs up; recovers.")


def test_a_poison_message_among_50(whole: World, tmp_path: Path) -> None:
    for sender in whole.senders:
        sender.process.end()
    workers = Workers(whole, tmp_path)
    with tormented(whole, received=lambda: workers.counts(torment.clients.accepted)) as torment:
        for _ in range(SINGLES // 2):
            torment.clients.send()
        torment.clients.subject = "die"
        poison = torment.clients.send()
        torment.clients.subject = "故障"
        for _ in range(SINGLES // 2):
            torment.clients.send()
        torment.books.restored()
        with workers.running():
            for request in list(torment.clients.accepted):
                whole.settled(request, within_s=180)
        for sender in whole.senders:
            sender.start()
    (dead,) = [one for one in whole.call("GET", "/api/dead", token=whole.token())["dead"] if one["request"] == poison]
    assert dead["method"] == "smtp"
    assert workers.deaths == 3
    assert torment.balance is not None
    assert torment.balance.failed == 1
    torment.tell(
        45,
        f"A poison message among {SINGLES}",
        "It kills its sender (SIGKILL) each time it is touched, and the sender is started again: after three deaths it "
        "is a dead letter, listed by `imsg dead-letters` and failed in `/api/query`.",
        twice_at_most=3,
        why="what was under way beside it at the first death",
    )


FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


def test_clocks_an_hour_off(tmp_path: Path) -> None:
    assert FAKETIME is not None, "libfaketime is not installed: apt-get install libfaketime"

    def by(offset: str) -> dict[str, str]:
        return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    with (
        world(tmp_path, Plan(of_senders=[by("+1h"), by("-1h")])) as whole,
        tormented(whole) as torment,
        torment.clients.sending(),
    ):
        whole.mailbox.latency_s = 0.02
        torment.clients.send(500)
        torment.wait_for_arrivals(100)
        whole.senders[0].process.kill()
        torment.books.restored()
        whole.senders[0].start()
        torment.clients.wait_for(40)
    torment.tell(
        46,
        "Senders' clocks an hour off",
        "One of two senders an hour ahead, the other an hour behind; the first killed (kill -9) in mid-bulk, so that "
        "leases count, and started again.",
        twice_at_most=IN_FLIGHT,
        why="what the dead one had under way",
    )
