"""Opening the broker by its URL."""

from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

from imsg_broker import rabbitmq, redis_streams
from imsg_broker.port import Broker
from imsg_channels import METHODS
from imsg_contract.topology import Topology
from imsg_runtime.settings import StartError, variable


def open_broker(
    url: str, topology: Topology | None = None, *, probes_alarms: bool = False
) -> AbstractAsyncContextManager[Broker]:
    """Open the broker of a URL: RabbitMQ for `amqp(s)://`, Redis Streams for `redis(s)://` and `unix://`.

    The default topology is that of all channels. With `probes_alarms`, which the gateway sets, an alarm of RabbitMQ is
    detected before a message is published. Returns before the broker is connected: see `Broker.ready`.
    Raises StartError for another scheme.
    """
    scheme, chosen = urlsplit(url).scheme, topology or Topology(methods=METHODS)
    if scheme in ("amqp", "amqps"):
        return rabbitmq.connect(url, chosen, probes_alarms=probes_alarms)
    if scheme in ("redis", "rediss", "unix"):
        return redis_streams.connect(url, chosen)
    raise StartError("{0} must begin with amqp://, amqps:// or redis://", variable("broker_url"))
