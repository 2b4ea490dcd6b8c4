"""A probe that detects an alarm of RabbitMQ (memory, disk) before a message is published.

RabbitMQ blocks a connection at its first publish after an alarm, and neither confirms nor returns that publish until
the alarm is over. So the probe publishes a message in a transaction that is rolled back.
"""

import asyncio

from imsg_broker.rabbitmq.amqp import Channel, Link, LinkLost
from imsg_broker.rabbitmq.connection import Reconnector
from imsg_contract.topology import CHANGE
from imsg_runtime.logs import RecurringProblem, logger

log = logger(__name__)

PROBE_S = 0.2
"""The time between probes. The outcome of a publish between the alarm and the next probe is unknown."""


async def probe(reconnector: Reconnector, exchange: str) -> None:
    """Probe the publishing connection for ever, across reconnects.

    The routing key is one that every service with `probes_alarms` may publish to.
    """
    problem = RecurringProblem(log, "broker_not_probed", level="info")
    while True:
        link = await reconnector.up()
        try:
            channel = await link.channel()
            await channel.transact()
            problem.clear()
            await _probe_until_lost(link, channel, exchange)
        except LinkLost as lost:
            problem.report(lost)
        await asyncio.sleep(PROBE_S)


async def _probe_until_lost(link: Link, channel: Channel, exchange: str) -> None:
    while channel.is_open:
        if not link.blocked:
            channel.publish(exchange, CHANGE, b"{}", "probe", None)
            channel.roll_back()
        await asyncio.sleep(PROBE_S)
