"""Redis (here Valkey) and PostgreSQL, pulled in every way."""

import shutil
import time

import pytest
import redis

from imsg_testing.api import wait
from imsg_testing.fault import tormented
from imsg_testing.fault_world import World

pytestmark = pytest.mark.timeout(600)

LIST = 200
"""Recipients of a list that is under way when Redis loses its data: four parts."""

AWAY_S = 8.0
"""Longer than a delivery waits for its ledger (5 s): what is under way is handed back."""

BEGUN = 2 * 2 * 8
"""Single mails that two senders have begun at most."""


def test_redis_killed(whole: World) -> None:
    with tormented(whole) as torment, torment.clients.sending():
        whole.mailbox.latency_s = 0.02
        torment.clients.send(500)
        torment.wait_for_arrivals(100)
        whole.valkey.kill()
        stay_away()
        torment.books.restored()
        whole.valkey.start()
        torment.clients.wait_for(40)
    torment.tell(
        30,
        "Redis killed",
        f"kill -9 of Redis during a list of 500 beside single mails; after {AWAY_S:.0f} s started again on its data.",
    )


def test_redis_flushed(whole: World) -> None:
    with tormented(whole) as torment, torment.clients.sending():
        whole.mailbox.latency_s = 0.02
        torment.clients.send(LIST)
        torment.wait_for_arrivals(50)
        torment.books.restored()
        with redis.Redis.from_url(whole.valkey.url, socket_timeout=30) as client:
            client.flushall()
        torment.clients.wait_for(40)
    torment.tell(
        31, "Redis flushed", f"FLUSHALL during a list of {LIST} beside single mails: ledgers, limits and mirrors gone."
    )


def test_redis_made_slow(whole: World) -> None:
    with tormented(whole) as torment, torment.clients.sending():
        whole.mailbox.latency_s = 0.02
        torment.clients.send(500)
        torment.wait_for_arrivals(50)
        with redis.Redis.from_url(whole.valkey.url, socket_timeout=30) as client:
            for pause_ms in (1_500, 1_500, 1_500, 1_500, 6_000):
                client.client_pause(pause_ms)
                client.get("answers once the pause is over")
        torment.books.restored()
        torment.clients.wait_for(40)
    torment.tell(
        32,
        "Redis made slow",
        "CLIENT PAUSE for 1.5 s four times in a row, then for 6 s, during a list of 500 beside single mails.",
    )


def test_redis_failed_over_to_an_empty_one(whole: World) -> None:
    with tormented(whole) as torment, torment.clients.sending():
        whole.mailbox.latency_s = 0.02
        torment.clients.send(LIST)
        torment.wait_for_arrivals(50)
        whole.valkey.kill()
        shutil.rmtree(whole.valkey.folder / "appendonlydir")
        stay_away()
        torment.books.restored()
        whole.valkey.start()
        torment.clients.wait_for(40)
    torment.tell(
        33,
        "Redis failed over to an empty one",
        f"kill -9 of Redis during a list of {LIST} beside single mails; after {AWAY_S:.0f} s "
        "another without any data takes its place.",
        twice_at_most=LIST + BEGUN,
        why="of parts under way nobody knows any more who has been sent to, and mail in doubt is repeated",
    )


def test_postgresql_killed(whole: World) -> None:
    with tormented(whole) as torment, torment.clients.sending():
        torment.clients.wait_for(40)
        whole.postgres.kill()
        torment.clients.wait_for(100)
        torment.wait_for_arrivals(50)
        torment.books.restored()
        whole.postgres.start()
        torment.clients.wait_for(40)
    torment.tell(
        34,
        "PostgreSQL killed",
        "kill -9 of PostgreSQL under load; mails are accepted and sent without it; started again on its data.",
    )


def stay_away() -> None:
    """Let as much time pass as the plug stays out."""
    until = time.monotonic() + AWAY_S
    wait(lambda: time.monotonic() > until, AWAY_S + 1, every_s=0.1)
