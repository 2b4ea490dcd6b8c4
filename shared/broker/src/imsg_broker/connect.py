"""Which broker a URL names."""

from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

from imsg_broker.port import Broker
from imsg_channels import METHODS
from imsg_contract.topology import Topology
from imsg_runtime.settings import StartError, variable


def open_broker(
    url: str, topology: Topology | None = None, *, probes_alarms: bool = False
) -> AbstractAsyncContextManager[Broker]:
    """Open the broker that a URL names: `amqp(s)://` RabbitMQ, `redis://` or `unix://` Redis Streams.

    Without a topology it is that of the channels there are. `probes_alarms` for who takes requests: an alarm of
    RabbitMQ's is then known before a message meets it. Raises StartError for another scheme.
    Returns before it is connected: `ready` tells.
    """
    scheme, chosen = urlsplit(url).scheme, topology or Topology(methods=METHODS)
    # What is not used is not loaded: a history beside RabbitMQ is 6 MiB smaller without redis.
    if scheme in ("amqp", "amqps"):
        from imsg_broker import rabbitmq  # noqa: PLC0415

        return rabbitmq.connect(url, chosen, probes_alarms=probes_alarms)
    if scheme in ("redis", "rediss", "unix"):
        from imsg_broker import redis_streams  # noqa: PLC0415

        return redis_streams.connect(url, chosen)
    raise StartError(f"{variable('broker_url')} must begin with amqp://, amqps:// or redis://")
