"""The broker port on a real server."""

from contextlib import AbstractAsyncContextManager

from imsg_shared.broker import Broker
from imsg_shared.topology import Topology


def connect(url: str, topology: Topology) -> AbstractAsyncContextManager[Broker]:
    """Open the broker."""
    raise NotImplementedError
