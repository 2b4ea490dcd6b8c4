"""The sender-sms service: wires its providers, channel, templates and hooks."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import Protocol, cast

from starlette.types import ASGIApp

from imsg_contract.provider_accounts import NamedSender, ProviderAccount, ProviderEntry, ProviderTrouble, Remark
from imsg_contract.route_limits import ProviderLimits, RouteLimits, TemplateLimits
from imsg_delivery.gateway_directory import Names, publish_names
from imsg_delivery.provider_kinds import AccountFault, AccountSettings, EntryList, SenderSettings
from imsg_delivery.routes import Route
from imsg_delivery.sender import Sender, make_sender
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_runtime.settings import variable
from imsg_sms import hooks
from imsg_sms.account_apis.make import make_account_api
from imsg_sms.account_apis.port import AccountRefused
from imsg_sms.account_settings import MODELS, AnyAccount, Twilio
from imsg_sms.accounts import (
    DESCRIBED_KINDS,
    FREE_TEXT,
    KINDS,
    complete,
    expand,
    explain_refusal,
    list_accounts,
)
from imsg_sms.approved import ApprovedTemplates
from imsg_sms.channel import SmsChannel, terms
from imsg_sms.checks import ProviderCheck, check, check_signature_everywhere, explain_failure
from imsg_sms.http_settings import Http
from imsg_sms.providers import PullsReports, PushesReports, SmsProvider
from imsg_sms.providers.calls import ANSWER_TIMEOUT_S, open_pool
from imsg_sms.providers.context import ProviderContext
from imsg_sms.receipts import Receipts
from imsg_sms.router import SmsRouter
from imsg_sms.settings import NamedSignature, Settings, Sms
from imsg_sms.signatures import find_only_signature
from imsg_sms.templates import Templates, describe_limits, merge_limits
from imsg_web.app import make_app
from imsg_web.callers import Apps
from imsg_web.http_pool import NoAnswer, NotSent
from imsg_web.service import Service

__all__ = ["Receipts", "Settings", "Sms", "app", "check_providers", "open_channel", "terms"]

log = logger(__name__)

PUBLISH_EVERY_S = 10.0
"""How often the templates are published, in case Redis has lost them: gateways then check no template."""


CHECK_TIMEOUT_S = 8.0


class ProviderModule(Protocol):
    """The interface of a provider's module."""

    def make(self, name: str, account: AnyAccount, context: ProviderContext) -> SmsProvider:
        """Make an account's provider."""


def load_provider(kind: str) -> ProviderModule:
    """Import a provider's module. Modules of providers that are not configured are not imported, to save memory."""
    return cast("ProviderModule", import_module(f"imsg_sms.providers.{kind}"))


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service. Raises StartError where a setting is wrong or missing."""
    del apps  # the service calls no other
    remedy = f"set {variable('sms', 'accounts', 'aliyun', 'access_key_id')} and its companions"
    return make_sender(
        "sms", Settings, settings, _open_parts, remedy=remedy, idle_api=_open_idle_api, accounts=ACCOUNTS
    )


async def _open_idle_api(sender: Sender, settings: Settings) -> ASGIApp:
    """Open the API where no account is left: it takes late receipts of those that were removed."""
    return await _open_hooks(sender, settings, Receipts(sender.broker, sender.redis), ())


async def _open_parts(sender: Sender, settings: Settings) -> ASGIApp:
    receipts = Receipts(sender.broker, sender.redis)
    channel = await sender.stack.enter_async_context(
        open_channel(settings.sms, receipts, public_url=settings.public_url)
    )
    sender.work(channel)
    names: Mapping[str, Names] = {
        "sender": dict.fromkeys(channel.senders, ()),
        "signature": {name: (signature,) for name, signature in channel.senders.items()},
    }
    sender.watch(publish_names(sender.redis, "sms", names), "names")
    sender.watch(_publish(channel.templates, sender.redis), "templates")
    sender.watch(ApprovedTemplates(settings.sms, sender.redis).run(), "approved templates")
    return await _open_hooks(sender, settings, receipts, channel.providers)


async def _open_hooks(
    sender: Sender, settings: Settings, receipts: Receipts, providers: Sequence[SmsProvider]
) -> ASGIApp:
    """Open the URLs for receipts, of accounts as they were lately too, and begin the pulls."""
    sms = settings.sms or Sms.model_construct()  # it idles
    context = ProviderContext(
        await sender.stack.enter_async_context(open_pool(settings=sms)), sms.templates, receipts, settings.public_url
    )
    known = (*providers, *_make_former(sender.former, context))
    pushing = [provider for provider in known if isinstance(provider, PushesReports)]
    signatures = {
        provider.name: signature
        for provider in providers
        if not sms.senders and (signature := find_only_signature(provider.limits)) is not None
    }
    kinds = {provider.name: provider.kind for provider in reversed(known)}
    recorder = hooks.ReportRecorder(receipts, sms.opt_out, sms.opt_in, signatures, kinds)
    for provider in providers:
        for number, fetch in enumerate(provider.pulls if isinstance(provider, PullsReports) else ()):
            sender.watch(hooks.pull(recorder, provider.name, fetch), f"reports of {provider.name} {number}")
    return make_app("iMSG sender-sms", [hooks.make_router(recorder, pushing, settings.public_url)])


def _make_former(accounts: Sequence[ProviderAccount], context: ProviderContext) -> Iterator[SmsProvider]:
    """Make the providers of accounts as they were: they read late receipts, and send nothing."""
    for account in accounts:
        settings = expand(account)
        model = MODELS.get(settings["kind"])
        with suppress(ValueError):  # what the models of today do not take has no receipts either
            if model is not None:
                former = model.model_validate(settings)
                yield load_provider(former.kind).make(account.name, former, context)


@asynccontextmanager
async def open_channel(
    sms: Sms,
    receipts: Receipts,
    *,
    public_url: str = "",
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[SmsChannel]:
    """Open the channel. It makes no connection before the first message."""
    async with open_pool(answer_timeout_s, settings=sms) as pool:
        context = ProviderContext(pool, sms.templates, receipts, public_url)
        providers = [load_provider(account.kind).make(name, account, context) for name, account in sms.used.items()]
        known = merge_limits(
            [provider.limits for provider in providers], takes_text=any(provider.takes_text for provider in providers)
        )
        router = SmsRouter(providers, clock, routes=sms.provider_routes, known=frozenset(known))
        max_numbers = max(provider.max_numbers for provider in providers)
        channel_terms = terms(sms.uncertain, can_query_status=router.can_query_status, max_numbers=max_numbers)
        published = [
            _describe(provider, sms.provider_routes[provider.name], known, _find_longest(sms, provider.name))
            for provider in providers
        ]
        templates = Templates(known, RouteLimits(providers=tuple(published)))
        senders = {name: sender.signature for name, sender in sms.senders.items()}
        yield SmsChannel(router, templates, channel_terms, providers, receipts.suppress, senders=senders)


def _find_longest(sms: Sms, name: str) -> int | None:
    """Return the most characters that an account takes in a variable; None: no limit of its own."""
    longest: int | None = getattr(sms.used[name], "variable_characters", None)
    return longest


def _describe(
    provider: SmsProvider, route: Route, known: Mapping[str, TemplateLimits], longest: int | None
) -> ProviderLimits:
    """Return what others need of a provider: the conditions of its route, and its limits."""
    return ProviderLimits(
        name=provider.name,
        weight=route.weight,
        countries=provider.countries,
        numbers=route.prefixes,
        templates=tuple(sorted(route.templates)),
        categories=tuple(sorted(route.categories)),
        kind=provider.kind,
        longest=longest,
        limits=describe_limits(provider.limits, known, takes_text=provider.takes_text),
    )


async def _publish(templates: Templates, connection: Redis) -> None:
    """Publish the templates for the gateways every `PUBLISH_EVERY_S`, until cancelled."""
    problem = RecurringProblem(log, "templates_not_published")
    while True:
        with problem.catch(RedisUnavailable, RedisRefused):
            await templates.publish(connection)
        await asyncio.sleep(PUBLISH_EVERY_S)


async def check_providers(sms: Sms, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> list[ProviderCheck]:
    """Check every account and its templates at its provider, without sending."""
    async with open_pool(answer_timeout_s, settings=sms) as pool:
        return await check(sms, pool)


async def check_account(sms: Sms, name: str) -> Sequence[ProviderTrouble]:
    """Check an account and its templates at its provider; return why the provider refuses it."""
    only = sms.model_copy(update={"providers": (name,), "routes": {}})
    (check_result,) = await check_providers(only, CHECK_TIMEOUT_S)
    return check_result.troubles


async def list_entries(sms: Sms, name: str, what: EntryList) -> Sequence[ProviderEntry] | None:
    """Return the signatures or templates that an account's provider lists; None where it has no such call.

    Raises AccountFault.
    """
    if what == "templates" and isinstance(sms.accounts[name], Twilio | Http):
        raise AccountFault(FREE_TEXT)
    async with open_pool(CHECK_TIMEOUT_S, settings=sms) as pool:
        api = make_account_api(sms.accounts[name], pool)
        if api is None:
            return None
        try:
            return await (api.list_signatures() if what == "signatures" else api.list_templates())
        except (AccountRefused, NotSent, NoAnswer) as error:
            raise AccountFault(explain_failure(error)) from error


def _list_senders(sms: Sms) -> tuple[NamedSender, ...]:
    return tuple(NamedSender(name=name, signature=sender.signature) for name, sender in sms.senders.items())


def _add_senders(sms: Sms, added: Sequence[NamedSender]) -> Sms:
    own = {sender.name: NamedSignature(signature=sender.signature) for sender in added if sender.signature is not None}
    return sms.model_copy(update={"senders": own | sms.senders})


async def check_signature(sms: Sms | None, signature: str) -> Sequence[Remark]:
    """Return what is wrong with a signature at each account that lists its signatures."""
    if sms is None:
        return ()
    async with open_pool(CHECK_TIMEOUT_S, settings=sms) as pool:
        return await check_signature_everywhere(sms, signature, pool)


ACCOUNTS = AccountSettings(
    Sms,
    "accounts",
    (*KINDS, *DESCRIBED_KINDS.values()),
    list_accounts,
    check_account,
    list_entries,
    complete,
    senders=SenderSettings(_list_senders, _add_senders, check_signature=check_signature),
    find_conditions=lambda sms, name: sms.routes.get(name),
    explain=explain_refusal,
)
