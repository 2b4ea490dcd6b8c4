"""The wiring of sender-sms: the providers, the channel, the templates, the hooks."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from starlette.types import ASGIApp

from imsg_contract.wire import ProviderLimits, RouteLimits, TemplateLimits
from imsg_delivery.routes import Route as ProviderRoute
from imsg_delivery.sender import Sender, make_sender
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_runtime.settings import variable
from imsg_sms import hooks
from imsg_sms.channel import SmsChannel, terms
from imsg_sms.providers import Provider, Pulling, Reporting
from imsg_sms.providers.calls import ANSWER_TIMEOUT_S, open_pool
from imsg_sms.providers.context import ProviderContext
from imsg_sms.receipts import Receipts
from imsg_sms.route import Route
from imsg_sms.settings import AnyAccount, Settings, Sms
from imsg_sms.signatures import find_only
from imsg_sms.templates import Templates, describe_limits, merge_limits
from imsg_web.app import make_app
from imsg_web.callers import Apps
from imsg_web.service import Service

if TYPE_CHECKING:
    from imsg_sms.checks import ProviderCheck

__all__ = ["Receipts", "Settings", "Sms", "app", "check_providers", "open_channel", "terms"]

log = logger(__name__)

PUBLISH_EVERY_S = 10.0
"""How long the gateways may lack the templates after Redis was emptied: meanwhile the sender judges by itself."""


class Module(Protocol):
    """What a provider's module offers."""

    def make(self, name: str, account: AnyAccount, context: ProviderContext) -> Provider:
        """Make an account's provider."""


def load_provider(kind: str) -> Module:
    """Load a provider's module: only those that are configured, for each costs memory."""
    return cast("Module", import_module(f"imsg_sms.providers.{kind}"))


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service. Raises StartError where a setting is wrong or missing."""
    del apps  # it calls no other service
    remedy = f"set {variable('sms', 'accounts', 'aliyun', 'access_key_id')} and its companions"
    return make_sender("sms", Settings, settings, _open_parts, remedy=remedy)


async def _open_parts(sender: Sender, settings: Settings) -> ASGIApp:
    receipts = Receipts(sender.broker, sender.redis)
    channel = await sender.stack.enter_async_context(
        open_channel(settings.sms, receipts, public_url=settings.public_url)
    )
    sender.work(channel)
    sender.service.watch(_publish(channel.templates, sender.redis), "templates")
    reporting = [provider for provider in channel.providers if isinstance(provider, Reporting)]
    signatures = {one.name: found for one in channel.providers if (found := find_only(one.limits)) is not None}
    kinds = {one.name: one.kind for one in channel.providers}
    recorder = hooks.ReportRecorder(receipts, settings.sms.opt_out, settings.sms.opt_in, signatures, kinds)
    api = make_app("iMSG sender-sms", [hooks.make_router(recorder, reporting, settings.public_url)])
    for provider in channel.providers:
        for number, fetch in enumerate(provider.pulls if isinstance(provider, Pulling) else ()):
            sender.service.watch(hooks.pull(recorder, provider.name, fetch), f"reports of {provider.name} {number}")
    return api


@asynccontextmanager
async def open_channel(
    sms: Sms,
    receipts: Receipts,
    *,
    public_url: str = "",
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[SmsChannel]:
    """Open the channel alone; no connection is made before the first message."""
    async with open_pool(answer_timeout_s) as pool:
        context = ProviderContext(pool, sms.templates, receipts, public_url)
        providers = [load_provider(account.kind).make(name, account, context) for name, account in sms.used.items()]
        known = merge_limits(
            [provider.limits for provider in providers], takes_text=any(one.takes_text for one in providers)
        )
        route = Route(providers, clock, routes=sms.provider_routes, known=frozenset(known))
        most = max(provider.most for provider in providers)
        wanted = terms(sms.uncertain, can_ask=route.can_ask, most=most)
        published = [_describe(provider, sms.provider_routes[provider.name], known) for provider in providers]
        templates = Templates(known, RouteLimits(providers=tuple(published)))
        yield SmsChannel(route, templates, wanted, providers, receipts.suppress)


def _describe(provider: Provider, route: ProviderRoute, known: Mapping[str, TemplateLimits]) -> ProviderLimits:
    """Say what the gateways need of a provider: for which messages it is, and what it takes."""
    return ProviderLimits(
        name=provider.name,
        weight=route.weight,
        countries=provider.countries,
        numbers=route.prefixes,
        templates=tuple(sorted(route.templates)),
        categories=tuple(sorted(route.categories)),
        limits=describe_limits(provider.limits, known, takes_text=provider.takes_text),
    )


async def _publish(templates: Templates, connection: Redis) -> None:
    """Publish the templates for the gateways every few seconds: Redis may be emptied, and senders reconfigured."""
    problem = RecurringProblem(log, "templates_not_published")
    while True:
        try:
            await templates.publish(connection)
        except (RedisUnavailable, RedisRefused) as error:
            problem.note(error)
        else:
            problem.clear()
        await asyncio.sleep(PUBLISH_EVERY_S)


async def check_providers(sms: Sms, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> "list[ProviderCheck]":
    """Ask every provider, without sending, whether it knows the account and its templates."""
    from imsg_sms.checks import check  # noqa: PLC0415  only the command line asks

    async with open_pool(answer_timeout_s) as pool:
        return await check(sms, pool)
