"""Makes a sender's service: settings, Redis, the broker and a worker; a channel's `main` adds only its own parts."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from imsg_broker.connect import open_broker
from imsg_broker.port import Broker
from imsg_contract.topology import Lane
from imsg_delivery.channel import Channel, Prepared
from imsg_delivery.consumer import Worker
from imsg_delivery.gateway_directory import publish_names
from imsg_delivery.provider_pool import ProviderPool
from imsg_delivery.reporting import Reporter
from imsg_delivery.simulation import ReportingPublisher, SimulatedChannel
from imsg_delivery.standby import idle, is_idle
from imsg_people.suppressions import SuppressionMirror
from imsg_runtime import redis
from imsg_runtime.key_strength import require_strong
from imsg_runtime.redis import Redis
from imsg_runtime.settings import Common, StartError, load, variable
from imsg_web.service import Service

Settings = TypeVar("Settings", bound=Common)


@runtime_checkable
class SupportsProviders(Protocol):
    """A channel whose providers are reported and can be switched."""

    provider_pool: ProviderPool


@dataclass(frozen=True, slots=True)
class Sender:
    """What every sender has open while it runs."""

    service: Service
    settings: Common
    redis: Redis
    broker: Broker
    stack: AsyncExitStack
    """Closes what the channel has opened, the latest first, and before Redis and the broker."""

    def work(self, channel: Channel[Prepared]) -> None:
        """Process the channel's jobs while the service runs; the service is ready while broker and Redis are."""
        options: Mapping[str, Any] = {
            "stopping": self.service.stopping,
            "heartbeat": self.service.heartbeat,
            "erasure_keys": self.settings.erasure_key,
        }
        suppressions = SuppressionMirror(self.redis, channel.method)
        metrics = self.service.metrics
        worker = Worker(channel, self.broker, self.redis, metrics=metrics, suppressions=suppressions, **options)
        # What test keys send touches no suppression, breaker, pace or statistic of the channel.
        test_worker = Worker(
            SimulatedChannel(channel),
            self.broker,
            self.redis,
            metrics=CollectorRegistry(),
            lanes=(Lane.TEST,),
            publisher=ReportingPublisher,
            **options,
        )
        self.service.check("broker", lambda: self.broker.ready)
        self.service.check("redis", lambda: self.redis.takes_writes)
        self.service.watch(self.redis.watch(), "redis")
        if isinstance(channel, SupportsProviders):
            reporter = Reporter(self.redis, channel.provider_pool, secrets.token_hex(6))
            self.service.watch(reporter.watch(), "providers")
            names = {"provider": {provider.name: () for provider in channel.provider_pool.all}}
            self.service.watch(publish_names(self.redis, channel.method, names), "provider names")
        self.service.watch(worker.run(), "worker")
        self.service.watch(test_worker.run(), "test worker")


def make_sender(
    method: str,
    model: type[Settings],
    settings: Settings | Common | None,
    open_parts: Callable[[Sender, Settings], Awaitable[ASGIApp]],
    *,
    remedy: str,
    reads_history: bool = False,
    idle_api: Callable[[Common], ASGIApp] | None = None,
) -> Service:
    """Make a channel's service. Without a provider it can idle; `remedy` then names the settings that are missing.

    It idles with `IMSG_NO_PROVIDER=idle`, and with `settings` that are not of `model`, which belong to no channel.
    `idle_api` makes the API of a sender that idles; without it every URL is answered `not_found`.
    `open_parts` opens the channel, hands it to the worker (`Sender.work`) and returns the API. With `reads_history`
    a service key has to be set. Raises StartError where a setting is wrong or missing.
    """
    if settings is None and is_idle(model, method):
        return idle(method, remedy, load(Common), idle_api)
    if settings is not None and not isinstance(settings, model):
        return idle(method, remedy, settings, idle_api)
    chosen = load(model) if settings is None else settings
    if reads_history:
        if not chosen.service_key:
            raise StartError(
                f"{variable('service_key')} is not set; give sender-{method} the same one that history has."
            )
        require_strong(chosen, "service_key", keys=chosen.service_key)

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(redis.connect(chosen.redis_url))
            broker = await stack.enter_async_context(open_broker(chosen.broker_url))
            yield await open_parts(Sender(service, chosen, connection, broker, stack), chosen)

    return Service(method, chosen, opening)
