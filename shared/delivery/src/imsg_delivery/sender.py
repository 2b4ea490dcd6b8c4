"""Makes a sender's service: settings, Redis, the broker and a worker; a channel's `main` adds only its own parts.

What administrators set up in the web page is added to the settings. After each change the parts are opened anew beside
the old ones, which then finish what is in flight, so that no message waits and none is lost.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from imsg_broker.connect import open_broker
from imsg_broker.port import Broker
from imsg_contract.errors import Refusal
from imsg_contract.provider_accounts import (
    ChannelProviders,
    ProviderAccount,
    ProviderCall,
    ProviderCheck,
    ProviderMirror,
)
from imsg_contract.topology import Lane
from imsg_delivery.channel import Channel, Prepared
from imsg_delivery.consumer import Worker
from imsg_delivery.gateway_directory import publish_names
from imsg_delivery.provider_accounts import CHECK_S, ProviderAccounts
from imsg_delivery.provider_kinds import AccountFault, AccountSettings, EntryList, ProviderGroup
from imsg_delivery.provider_pool import ProviderPool
from imsg_delivery.provider_watch import NO_ANSWER, ProviderWatch
from imsg_delivery.reporting import Reporter
from imsg_delivery.simulation import ReportingPublisher, SimulatedChannel
from imsg_delivery.standby import is_idle, report_idle
from imsg_delivery.tasks import cancel, wait_for_all
from imsg_people.suppressions import SuppressionMirror
from imsg_runtime import redis
from imsg_runtime.key_strength import require_strong
from imsg_runtime.logs import logger
from imsg_runtime.presence import announce
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_runtime.settings import SenderSettings, StartError, load, load_without, read_group, variable
from imsg_web.responses import refuse_with
from imsg_web.service import Service

log = logger(__name__)

Settings = TypeVar("Settings", bound=SenderSettings)


@runtime_checkable
class SupportsProviders(Protocol):
    """A channel whose providers are reported and can be switched."""

    provider_pool: ProviderPool


class Sender:
    """What is open for one set of providers."""

    def __init__(
        self,
        service: Service,
        settings: SenderSettings,
        stores: tuple[Redis, Broker],
        *,
        instance: str,
        replaces: bool,
    ) -> None:
        self.service = service
        self.replaces = replaces
        """Whether another set is open until this one has taken over."""
        self.settings = settings
        self.former: Sequence[ProviderAccount] = ()
        """Accounts as they were lately: late receipts come by their secrets."""
        self.redis, self.broker = stores
        self.metrics = CollectorRegistry()
        self.stack = AsyncExitStack()
        """Closes what the channel has opened, the latest first, and before Redis and the broker."""
        self._instance = instance
        self._retiring = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._workers: list[asyncio.Task[None]] = []

    def watch(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run work in the background until the set is replaced; if it fails, the process ends."""
        self._tasks.append(self.service.watch(work, name))

    def check(self, name: str, holds: Callable[[], bool]) -> None:
        """Add a condition of readiness, until the set is replaced."""
        self.service.check(name, lambda: self._retiring.is_set() or holds())

    def warn(self, name: str, list_warnings: Callable[[], Sequence[str]]) -> None:
        """Add a warning to the answer of readiness, until the set is replaced."""
        self.service.warn(name, lambda: () if self._retiring.is_set() else list_warnings())

    def work(self, channel: Channel[Prepared]) -> None:
        """Process the channel's jobs until the set is replaced."""
        options: Mapping[str, Any] = {
            "stopping": self.service.stopping,
            "retiring": self._retiring,
            "heartbeat": self.service.heartbeat,
            "erasure_keys": self.settings.erasure_key,
        }
        suppressions = SuppressionMirror(self.redis, channel.method)
        worker = Worker(
            channel,
            self.broker,
            self.redis,
            metrics=self.metrics,
            suppressions=suppressions,
            simulated=self.settings.stand_in,
            **options,
        )
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
        if isinstance(channel, SupportsProviders):
            reporter = Reporter(self.redis, channel.provider_pool, self._instance)
            self.watch(reporter.watch(), "providers")
            names = {"provider": {provider.name: () for provider in channel.provider_pool.all}}
            self.watch(publish_names(self.redis, channel.method, names), "provider names")
        self._workers += [
            self.service.watch(worker.run(), "worker"),
            self.service.watch(test_worker.run(), "test worker"),
        ]

    async def retire(self) -> None:
        """End once another set has taken over: what is in flight is finished, and nothing new is begun."""
        await cancel(self._tasks)
        self._retiring.set()
        try:
            await wait_for_all(self._workers)
        finally:
            await self.stack.aclose()


class _CurrentMetrics(Collector):
    """The metrics of the set that is current."""

    def __init__(self, find: Callable[[], CollectorRegistry]) -> None:
        self._find = find

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of the current set."""
        return self._find().collect()


class ProviderSets(Generic[Settings]):
    """The set of providers that is current, and how another takes its place."""

    def __init__(
        self,
        service: Service,
        settings: Settings,
        method: str,
        *,
        open_set: Callable[[Sender, Settings], Awaitable[ASGIApp]],
        accounts: AccountSettings[Any] | None,
        stores: tuple[Redis, Broker],
    ) -> None:
        self._service = service
        self._settings = settings
        self._method = method
        self._open_set = open_set
        self._accounts = accounts
        self._redis, self._broker = stores
        self._instance = secrets.token_hex(6)
        self._current: tuple[Sender, ASGIApp] | None = None
        self._applied: Sequence[ProviderAccount] = ()
        self._in_force = settings
        self._former: Sequence[ProviderAccount] = ()
        self._watch: ProviderWatch | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the current set."""
        assert self._current is not None  # noqa: S101  it is opened before the API is served
        await self._current[1](scope, receive, send)

    async def run(self, reader: ProviderAccounts | None) -> None:
        """Open the first set. Raises StartError where the settings are wrong."""
        self._service.metrics.register(_CurrentMetrics(lambda: self._sender.metrics))
        first = None
        if reader is not None:
            self._service.watch(reader.publish(self._describe), "provider kinds")
        if reader is not None and self._settings.provider_key:
            with suppress(RedisUnavailable, RedisRefused):  # `watch` reads them once Redis is there
                first = await reader.read()
            self._service.watch(reader.watch(self.apply, self.answer), "provider accounts")
            assert self._accounts is not None  # noqa: S101  a reader is there for accounts
            self._watch = ProviderWatch(
                self._redis,
                self._method,
                self._settings.provider_key[0],
                self._accounts,
                lambda: getattr(self._in_force, self._method),
            )
            self._service.watch(self._watch.run(), "looking after providers")
        if first is None or first == ProviderMirror() or not await self.apply(first):
            await self._open(self._settings)

    async def answer(self, call: ProviderCall) -> ProviderCheck:
        """Return what is wrong with an account of auth's, or what its provider lists."""
        assert self._accounts is not None  # noqa: S101  only then are there calls
        if call.what in {"signatures", "templates"}:
            return await self._list_entries(call)
        if call.what == "dns":
            return await self._examine_domain(call)
        if call.what == "signature":
            return await self._check_signature(call)
        errors = self._accounts.validate(self._read_own(), call.accounts, call.name)
        own_names = self._list_own()
        if errors or call.name in own_names:
            return ProviderCheck(errors=errors, is_taken=call.name in own_names)
        if call.what == "validate":
            return ProviderCheck()
        group = self._build(call.accounts)
        try:
            async with asyncio.timeout(CHECK_S):
                troubles = await self._accounts.check(group, call.name)
        except TimeoutError:
            troubles = (NO_ANSWER,)
        return ProviderCheck(trouble=min(troubles, key=lambda trouble: trouble.is_unsure, default=None))

    async def _list_entries(self, call: ProviderCall) -> ProviderCheck:
        """Return the signatures or templates that the provider of an account lists, also of one in the settings."""
        assert self._accounts is not None  # noqa: S101  as above
        group = getattr(self._in_force, self._method)
        if call.accounts:
            group = self._build(call.accounts)
        if self._accounts.list_entries is None or call.name not in self._accounts.list_accounts(group):
            return ProviderCheck()
        what: EntryList = "signatures" if call.what == "signatures" else "templates"
        try:
            async with asyncio.timeout(CHECK_S):
                entries = await self._accounts.list_entries(group, call.name, what)
        except TimeoutError:
            return ProviderCheck(trouble=NO_ANSWER)
        except AccountFault as fault:
            return ProviderCheck(trouble=fault.trouble)
        return ProviderCheck(entries=None if entries is None else tuple(entries))

    async def _examine_domain(self, call: ProviderCall) -> ProviderCheck:
        assert self._accounts is not None  # noqa: S101  as above
        if self._accounts.senders is None or self._accounts.senders.examine is None:
            return ProviderCheck()
        group = getattr(self._in_force, self._method)
        return ProviderCheck(dns=await self._accounts.senders.examine(group, call.name, call.english))

    async def _check_signature(self, call: ProviderCall) -> ProviderCheck:
        assert self._accounts is not None  # noqa: S101  as above
        if self._accounts.senders is None or self._accounts.senders.check_signature is None:
            return ProviderCheck()
        group = getattr(self._in_force, self._method)
        return ProviderCheck(remarks=tuple(await self._accounts.senders.check_signature(group, call.name)))

    async def close(self) -> None:
        """Close the current set, once its work has ended."""
        if self._current is not None:
            await self._sender.stack.aclose()

    @property
    def _sender(self) -> Sender:
        assert self._current is not None  # noqa: S101  as above
        return self._current[0]

    def _build(self, accounts: Sequence[ProviderAccount]) -> ProviderGroup:
        """Return the channel's settings with accounts of auth. Raises ValidationError."""
        assert self._accounts is not None  # noqa: S101  as above
        group: ProviderGroup = self._accounts.build(self._read_own(), accounts, self._settings.provider_networks)
        return group

    def _read_own(self) -> Mapping[str, Any]:
        """Return the channel's settings without accounts of auth; the sandbox gives way to any account."""
        group: BaseModel | None = getattr(self._settings, self._method)
        if group is None:
            return {}
        if self._settings.stand_in:
            assert self._accounts is not None  # noqa: S101  only then are there accounts
            own = read_group(type(self._settings), self._method)
            return {name: value for name, value in own.items() if name != self._accounts.table}
        return group.model_dump(exclude_unset=True)

    def _list_own(self) -> set[str]:
        """Return the names of the accounts of the settings, of those too that the page can't show."""
        group = getattr(self._settings, self._method)
        if group is None or self._settings.stand_in or self._accounts is None:
            return set()
        return {*self._accounts.list_accounts(group), *getattr(group, self._accounts.table)}

    def _describe(self) -> ChannelProviders:
        assert self._accounts is not None  # noqa: S101  as above
        group = getattr(self._settings, self._method)
        is_hidden = group is None or (self._settings.stand_in and bool(self._applied))
        shown = () if is_hidden else self._accounts.show(group, is_simulated=self._settings.stand_in)
        url = self._settings.public_url.rstrip("/") or "https://HOST"
        kinds = tuple(kind.describe(url) for kind in self._accounts.kinds)
        senders = self._accounts.senders
        listed = () if group is None or senders is None else senders.list(group)
        return ChannelProviders(kinds=kinds, settings=shown, senders=listed)

    async def apply(self, mirror: ProviderMirror) -> bool:
        """Open a set with these accounts and senders beside those of the settings, and retire the current one.

        Where nothing is different, as when auth publishes that there are no accounts, the current one stays.
        Return whether that worked; else the current one stays.
        """
        settings, accounts = self._settings, mirror.accounts
        assert self._accounts is not None  # noqa: S101  as above
        try:
            group = getattr(settings, self._method)
            if accounts:
                group = self._build(accounts)
            if group is not None and self._accounts.senders is not None:
                group = self._accounts.senders.add(group, mirror.senders)
            # The sandbox gives way to the first account.
            stand_in = settings.stand_in and not accounts
            settings = settings.model_copy(update={self._method: group, "stand_in": stand_in})
            if self._current is not None and (settings, mirror.former) == (self._in_force, self._former):
                return True
            await self._open(settings, mirror.former)
        except (ValueError, StartError) as error:
            why = _describe_briefly(error)
            log.error("provider_accounts_not_applied", method=self._method, why=why)  # noqa: TRY400  it may quote secrets
            return False
        self._applied, self._in_force, self._former = accounts, settings, mirror.former
        if self._watch is not None:
            self._watch.wake()
        log.info("providers_changed", method=self._method, accounts=[account.name for account in accounts])
        return True

    async def _open(self, settings: Settings, former: Sequence[ProviderAccount] = ()) -> None:
        stores, replaces = (self._redis, self._broker), self._current is not None
        sender = Sender(self._service, settings, stores, instance=self._instance, replaces=replaces)
        sender.former = former
        try:
            api = await self._open_set(sender, settings)
        except BaseException:
            await sender.retire()
            raise
        before, self._current = self._current, (sender, api)
        if before is not None:
            self._service.watch(before[0].retire(), "retired providers")


def _describe_briefly(error: Exception) -> str:
    """Describe an error without the values of settings."""
    if isinstance(error, StartError):
        return str(error)
    places = getattr(error, "errors", lambda **_: ())(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, place['loc']))}: {place['msg']}" for place in places)


def make_sender(
    method: str,
    model: type[Settings],
    settings: Settings | None,
    open_parts: Callable[[Sender, Settings], Awaitable[ASGIApp]],
    *,
    remedy: str,
    reads_history: bool = False,
    idle_api: Callable[[Sender, Settings], Awaitable[ASGIApp]] | None = None,
    accounts: AccountSettings[Any] | None = None,
) -> Service:
    """Make a channel's service. Without a provider it can idle; `remedy` then names the settings that are missing.

    It idles with `IMSG_NO_PROVIDER=idle` or with a provider key, and with `settings` whose group is None.
    `idle_api` makes the API of a sender that idles; without it every URL is answered `not_found`.
    `open_parts` opens the channel, hands it to the worker (`Sender.work`) and returns the API; it is called anew when
    the accounts of auth change, which `accounts` adds to the settings. With `reads_history` a service key has to be
    set. Raises StartError where a setting is wrong or missing.
    """
    if settings is not None:
        chosen = settings
    elif is_idle(model, method):
        chosen = load_without(model, method)
    else:
        chosen = load(model)
    if reads_history and getattr(chosen, method) is not None:
        if not chosen.service_key:
            raise StartError(
                "{0} is not set; give sender-{1} the same one that history has.", variable("service_key"), method
            )
        require_strong(chosen, "service_key", keys=chosen.service_key)
    require_strong(chosen, "provider_key", keys=chosen.provider_key)

    async def open_set(sender: Sender, current: Settings) -> ASGIApp:
        if getattr(current, method) is not None:
            return await open_parts(sender, current)
        sender.watch(report_idle(sender.redis, method, remedy), "standby")
        if idle_api is None:
            return refuse_with(Refusal("not_found", what=method), "")
        return await idle_api(sender, current)

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(redis.connect(chosen.redis_url))
            broker = await stack.enter_async_context(open_broker(chosen.broker_url))
            sets = ProviderSets(
                service, chosen, method, open_set=open_set, accounts=accounts, stores=(connection, broker)
            )
            stack.push_async_callback(sets.close)
            await sets.run(None if accounts is None else ProviderAccounts(connection, method, chosen.provider_key))
            service.check("broker", lambda: broker.ready)
            service.check("redis", lambda: connection.takes_writes)
            service.watch(connection.watch(), "redis")
            service.watch(announce(connection, service.describe), "presence")
            yield sets

    return Service(method, chosen, opening)
