"""A malformed entry of a stream becomes a dead letter, and the queue continues."""

import json
from collections.abc import Sequence

import pytest
import redis

from imsg_contract.topology import DEAD, Lane, Topology, job_key
from imsg_testing.brokers import arrivals, depth_is, open_ready

MALFORMED: Sequence[Sequence[bytes]] = (
    (b"x", b"y"),
    (b"b", b"{}"),
    (b"b", b"body", b"k", b"\xff\xfe", b"h", b"", b"n", b"0"),
    (b"b", b"body", b"k", b"key", b"h", b"not JSON", b"n", b"0"),
    (b"b", b"body", b"k", b"key", b"h", b"[" * 100_000, b"n", b"0"),
    (b"b", b"body", b"k", b"key", b"h", b'{"reason": 5}', b"n", b"0"),
    (b"b", b"body", b"k", b"key", b"h", b'{"reason": "\\ud800"}', b"n", b"0"),
    (b"k", b"key", b"h", b"[1]", b"n", b"?"),
    [b"field %d" % n for n in range(10_000)],
)


@pytest.mark.parametrize("is_held", [False, True])
async def test_a_malformed_entry_is_a_dead_letter_and_what_follows_is_delivered(
    valkey_url: str,
    topology: Topology,
    is_held: bool,  # noqa: FBT001
) -> None:
    """Also where a consumer died that held it: it is handed back first."""
    queue = topology.queue("smtp", Lane.NORMAL)
    async with open_ready(valkey_url, topology) as broker:
        with redis.Redis.from_url(valkey_url) as client:
            for fields in MALFORMED:
                client.execute_command("XADD", queue, "*", *fields)
            if is_held:
                client.xreadgroup("imsg", "gone", {queue: ">"})
        await broker.publish(b"good", topology.new(job_key("smtp", Lane.NORMAL)))
        async with broker.consume(queue, 2) as jobs, broker.consume(topology.history, 100) as kept:
            (good,) = await arrivals(jobs, 1)
            assert good.body == b"good"
            await broker.ack(good)
            told = await arrivals(kept, len(MALFORMED) + 1)
            dead = [delivery for delivery in told if delivery.key == DEAD]
            assert len(dead) == len(MALFORMED)
            assert {delivery.headers["queue"] for delivery in dead} == {queue}
            assert all(delivery.headers["reason"].startswith("malformed: ") for delivery in dead)
            await depth_is(broker, queue, 0)


@pytest.mark.parametrize("due", ["inf", "1e300", "99999999999999999999"])
async def test_what_is_delayed_without_end_keeps_nothing_waiting(valkey_url: str, topology: Topology, due: str) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    async with open_ready(valkey_url, topology) as broker:
        with redis.Redis.from_url(valkey_url) as client:
            client.execute_command("ZADD", f"{queue}.retry", due, "x")
        await broker.publish(b"good", topology.new(job_key("smtp", Lane.NORMAL)))
        async with broker.consume(queue, 2) as jobs:
            (good,) = await arrivals(jobs, 1)
            assert (good.body, good.redelivered) == (b"good", False)
            await broker.ack(good)
            await depth_is(broker, queue, 0)


async def test_a_malformed_entry_of_history_s_own_queue_is_read_as_a_dead_letter(
    valkey_url: str, topology: Topology
) -> None:
    async with open_ready(valkey_url, topology) as broker:
        with redis.Redis.from_url(valkey_url) as client:
            client.xadd(topology.history, {"x": json.dumps("y")})
        async with broker.consume(topology.history, 10) as kept:
            (dead,) = await arrivals(kept, 1)
            assert (dead.key, dead.headers["queue"]) == (DEAD, topology.history)
