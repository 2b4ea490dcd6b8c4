"""Finding out about an alarm of RabbitMQ's before a message does.

RabbitMQ tells a connection of an alarm when it publishes, and reads nothing of it from then on: the publish that finds
out is neither kept nor refused until the alarm is over. So something publishes that counts for nothing.
"""

import asyncio

from imsg_broker.rabbitmq.amqp import Channel, Link, LinkLost
from imsg_broker.rabbitmq.connection import Life
from imsg_contract.topology import CHANGE
from imsg_runtime.logs import RecurringProblem, logger

log = logger(__name__)

PROBE_S = 0.2
"""How often: an alarm is known after this; who publishes sooner hears that the outcome is unknown."""


async def probe(life: Life, exchange: str) -> None:
    """Probe a publishing connection for ever, over its losses.

    By a transaction that is never committed, under a key that everybody may write who takes requests: nobody gets it.
    """
    problem = RecurringProblem(log, "broker_not_probed", level="info")
    while True:
        link = await life.up()
        try:
            channel = await link.channel()
            await channel.transact()
            problem.clear()
            await _probe_until_lost(link, channel, exchange)
        except LinkLost as lost:
            problem.note(lost)
        await asyncio.sleep(PROBE_S)


async def _probe_until_lost(link: Link, channel: Channel, exchange: str) -> None:
    while channel.is_open:
        if not link.blocked:
            channel.publish(exchange, CHANGE, b"{}", "probe", None)
            channel.roll_back()
        await asyncio.sleep(PROBE_S)
