"""A consumer in a process of its own, which a test kills. It acks nothing.

`python -m imsg_testing.consumer_process URL PREFIX QUEUE PREFETCH` prints the body of each delivery, a line each.
"""

import asyncio
import sys

from imsg_contract.topology import Topology
from imsg_runtime.logs import configure
from imsg_testing.brokers import open_ready


async def consume(url: str, prefix: str, queue: str, prefetch: int) -> None:
    """Consume without acks until killed."""
    topology = Topology(prefix=prefix, methods=("smtp",), steps_s=(1, 2, 4), query_steps_s=())
    async with open_ready(url, topology) as broker, broker.consume(queue, prefetch) as deliveries:
        async for delivery in deliveries:
            print(delivery.body.decode(), flush=True)  # noqa: T201  how it tells the test


if __name__ == "__main__":
    configure("WARNING", "text")  # standard output is for bodies alone
    asyncio.run(consume(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
