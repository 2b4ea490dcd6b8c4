"""Redis (Valkey here) and PostgreSQL killed, frozen and filled."""

import shutil
import time

import pytest
import redis

from imsg_testing.fault import inject_faults
from imsg_testing.sentinels import follow
from imsg_testing.servers import Valkey
from imsg_testing.services import Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(600)

LIST = 200
"""Recipients of a list that is under way when Redis loses its data: four parts."""

AWAY_S = 8.0
"""Longer than a delivery waits for its ledger (5 s): what is under way is handed back."""

BEGUN = 2 * 2 * 8
"""Single mails that two senders have begun at most."""


def test_redis_killed(deployment: Services) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(500)
        fault.wait_for_arrivals(100)
        deployment.valkey.kill()
        stay_away()
        fault.reconciler.record_restored()
        deployment.valkey.start()
        fault.clients.wait_for(40)
    fault.report(
        30,
        "Redis killed",
        f"kill -9 of Redis during a list of 500 beside single mails; after {AWAY_S:.0f} s started again on its data.",
    )


def test_redis_flushed(deployment: Services) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(LIST)
        fault.wait_for_arrivals(50)
        fault.reconciler.record_restored()
        with redis.Redis.from_url(deployment.valkey.url, socket_timeout=30) as client:
            client.flushall()
        fault.clients.wait_for(40)
    fault.report(
        31, "Redis flushed", f"FLUSHALL during a list of {LIST} beside single mails: ledgers, limits and mirrors gone."
    )


def test_redis_made_slow(deployment: Services) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(500)
        fault.wait_for_arrivals(50)
        with redis.Redis.from_url(deployment.valkey.url, socket_timeout=30) as client:
            for pause_ms in (1_500, 1_500, 1_500, 1_500, 6_000):
                client.client_pause(pause_ms)
                client.get("answers once the pause is over")
        fault.reconciler.record_restored()
        fault.clients.wait_for(40)
    fault.report(
        32,
        "Redis made slow",
        "CLIENT PAUSE for 1.5 s four times in a row, then for 6 s, during a list of 500 beside single mails.",
    )


def test_redis_failed_over_to_an_empty_one(deployment: Services) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(LIST)
        fault.wait_for_arrivals(50)
        deployment.valkey.kill()
        shutil.rmtree(deployment.valkey.folder / "appendonlydir")
        stay_away()
        fault.reconciler.record_restored()
        deployment.valkey.start()
        fault.clients.wait_for(40)
    fault.report(
        33,
        "Redis failed over to an empty one",
        f"kill -9 of Redis during a list of {LIST} beside single mails; after {AWAY_S:.0f} s "
        "another without any data takes its place.",
        twice_at_most=LIST + BEGUN,
        why="of parts under way nobody knows any more who has been sent to, and mail in doubt is repeated",
    )


def test_redis_demoted_by_hand_and_promoted_again(deployment: Services) -> None:
    """It answers every read meanwhile: only a service that tries to write notices, and is not ready."""
    with Valkey() as other, inject_faults(deployment) as fault, fault.clients.sending():
        deployment.mailbox.latency_s = 0.02
        follow(other, deployment.valkey)
        wait_until_in_step(deployment.valkey)
        fault.clients.send(LIST)
        fault.wait_for_arrivals(50)
        follow(other, None)
        follow(deployment.valkey, other)
        fault.clients.wait_for_refusals(5)
        writers = (*deployment.gateways, *deployment.senders)
        wait(lambda: not any(writer.is_ready() for writer in writers), 60, why=lambda: deployment.logs)
        fault.reconciler.record_restored()
        follow(deployment.valkey, None)
        fault.clients.wait_for(40)
    fault.report(
        35,
        "Redis demoted by hand",
        f"During a list of {LIST} beside single mails Redis becomes another's replica, until nobody is ready; then "
        "it is the master again.",
        twice_at_most=BEGUN,
        why="of mails in flight the result could not be kept, and mail in doubt is repeated",
    )


def test_postgresql_killed(deployment: Services) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        fault.clients.wait_for(40)
        deployment.postgres.kill()
        fault.clients.wait_for(100)
        fault.wait_for_arrivals(50)
        fault.reconciler.record_restored()
        deployment.postgres.start()
        fault.clients.wait_for(40)
    fault.report(
        34,
        "PostgreSQL killed",
        "kill -9 of PostgreSQL under load; mails are accepted and sent without it; started again on its data.",
    )


def wait_until_in_step(master: Valkey) -> None:
    """Wait until a replica has what the master has."""

    def is_in_step() -> bool:
        with redis.Redis.from_url(master.url) as client:
            return int(client.wait(1, 500)) == 1

    wait(is_in_step, 60)


def stay_away() -> None:
    """Wait as long as the fault lasts."""
    until = time.monotonic() + AWAY_S
    wait(lambda: time.monotonic() > until, AWAY_S + 1, every_s=0.1)
