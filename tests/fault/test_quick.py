"""Every plug pulled once, one after the other, under load: what every change has to live through."""

from collections.abc import Callable

import pytest

from imsg_testing.fault import IN_FLIGHT, Torment, tormented
from imsg_testing.fault_world import World

pytestmark = [pytest.mark.quick, pytest.mark.timeout(600)]


def test_every_plug_pulled_once(whole: World) -> None:
    with tormented(whole, may_break=True) as torment, torment.clients.sending():
        whole.mailbox.latency_s = 0.02
        torment.clients.send(1_000)
        torment.wait_for_arrivals(100)
        sender, _ = whole.senders
        pulled(
            torment, sender.process.kill, sender.start
        )  # first, since the claims of the dead take longest to run out
        pulled(torment, whole.rabbit.kill, whole.rabbit.start, is_missed=True)
        pulled(torment, whole.valkey.kill, whole.valkey.start, is_missed=True)
        pulled(torment, whole.postgres.kill, whole.postgres.start)
        pulled(torment, whole.history.process.kill, whole.history.start)
        pulled(torment, whole.auth.process.kill, whole.auth.start)
        pulled(torment, whole.gateways[0].process.kill, whole.gateways[0].start)
    torment.tell(
        1,
        "Every plug, one after the other",
        "kill -9 of a sender, RabbitMQ, Redis, PostgreSQL, history, auth and the gateway in turn, during a list of "
        "1,000 beside single mails; each started again while the load goes on. *whole* counts from the last one.",
        twice_at_most=IN_FLIGHT,
        why="what the dead sender had under way",
    )


def pulled(torment: Torment, pull: Callable[[], None], plug_in: Callable[[], None], *, is_missed: bool = False) -> None:
    """Pull one plug, see that its absence is noticed or does not matter, plug it in, see that the load goes on."""
    pull()
    if is_missed:
        torment.clients.wait_for_refusals(3)
    torment.books.restored()
    plug_in()
    torment.clients.wait_for(20)
