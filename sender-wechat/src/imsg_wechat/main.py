"""The sender-wechat service: wires its database, accounts, followers, channel and webhook."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, tzinfo
from functools import partial
from random import SystemRandom
from zoneinfo import ZoneInfo

from starlette.types import ASGIApp

from imsg_contract.addresses import make_tag
from imsg_contract.provider_accounts import ProviderAccount, ProviderEntry, ProviderTrouble
from imsg_database.address import read_url
from imsg_database.database import connect
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import migrate
from imsg_database.startup import wait_for_database
from imsg_delivery.attachment_client import AttachmentClient
from imsg_delivery.provider_kinds import AccountFault, AccountSettings, EntryList
from imsg_delivery.sender import Sender, make_sender
from imsg_people.tombstones import Digests
from imsg_runtime import redis
from imsg_runtime.logs import logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_runtime.settings import StartError, variable
from imsg_web import service_client
from imsg_web.callers import Apps, CallerCheck
from imsg_web.service import Service
from imsg_web.service_client import Peer
from imsg_wechat import transport
from imsg_wechat.accounts import OFFICIAL_ACCOUNT, explain, explain_templates, list_accounts
from imsg_wechat.allowances import Allowances
from imsg_wechat.api import Api
from imsg_wechat.audit import Audit
from imsg_wechat.bindings import Bindings
from imsg_wechat.channel import ChannelAccount, WeChatChannel, terms
from imsg_wechat.codes import PROVIDER, ErrorAnswer
from imsg_wechat.crypto import decode_key
from imsg_wechat.delivery_options import DeliveryOptions, make_breakers
from imsg_wechat.follower_events import FollowerEvents
from imsg_wechat.followers import Followers
from imsg_wechat.hooks import HookAccount, HookChecks, make_router
from imsg_wechat.menu import MenuResult, describe_menu, make_menu
from imsg_wechat.migrations import MIGRATIONS
from imsg_wechat.nonces import Nonces
from imsg_wechat.published_limits import PublishedLimits
from imsg_wechat.receipts import Receipts
from imsg_wechat.routes import RouteServices, make_api
from imsg_wechat.settings import Account, Settings, WeChat
from imsg_wechat.store import Store
from imsg_wechat.template_check import TemplateFaults, compare_with_account, find_fields, read_wrong
from imsg_wechat.templates import Templates
from imsg_wechat.tokens import Credentials, OwnToken, Tokens
from imsg_wechat.transport import CallFailure, Timeouts, Transport
from imsg_wechat.unconfirmed import UnconfirmedCalls
from imsg_wechat.unfollows import Unfollows
from imsg_wechat.users import Users
from imsg_wechat.webhook import Webhook
from imsg_wechat.webhook_modes import WebhookModes, remedy

__all__ = [
    "Settings",
    "Timeouts",
    "WeChat",
    "app",
    "check_account",
    "describe_menu",
    "find_plain",
    "find_wrong_templates",
    "make_menus",
    "open_channel",
    "remedy",
]

log = logger(__name__)


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service. Raises StartError if a setting is wrong or missing."""
    remedy = f"set {variable('wechat', 'accounts', 'main', 'appid')} and its companions"
    open_parts = partial(_open_parts, apps={} if apps is None else apps)
    return make_sender(
        "wechat",
        Settings,
        settings,
        open_parts,
        remedy=remedy,
        reads_history=True,
        idle_api=_open_idle_api,
        accounts=ACCOUNTS,
    )


async def _open_idle_api(_: Sender, settings: Settings) -> ASGIApp:
    """Make the API where no official account is configured: it has no followers, and describes its routes."""
    return make_api(None, CallerCheck("wechat", settings.service_key, settings.peer_keys))


async def _open_parts(sender: Sender, settings: Settings, apps: Apps) -> ASGIApp:
    wechat, connection, enter = settings.wechat, sender.redis, sender.stack.enter_async_context
    url = read_url(settings.store_url)
    await wait_for_database(partial(migrate, url, MIGRATIONS))
    database = await enter(connect(url, DatabaseOptions("imsg-wechat")))
    history = await enter(service_client.connect(settings.history_url, settings.service_key, apps))
    auth = await enter(service_client.connect(settings.auth_url, settings.service_key, apps))
    random = SystemRandom()
    bindings, receipts = Bindings(database), Receipts(sender.broker)
    followers = Followers(
        Store(database, lambda: make_tag(random)),
        connection,
        tuple(wechat.accounts),
        Digests(settings.erasure_key),
        Unfollows(receipts.publish_suppression, connection),
    )
    allowances, zone = Allowances(database), ZoneInfo(settings.timezone)
    channel = await enter(open_channel(wechat, connection, followers, allowances, history, zone=zone))
    follower_events = FollowerEvents(allowances, _list_texting(wechat, channel.templates), time.time)
    webhook = Webhook(followers, connection, receipts.publish, bindings.scan, follower_events.record, now=time.time)
    sender.check("database", lambda: database.takes_writes)
    sender.watch(followers.mirror(), "followers")
    sender.watch(PublishedLimits(connection, channel.method, channel.templates).run(), "templates")
    sender.watch(follower_events.remove_ended_windows(), "windows")
    for name, check in channel.checks(connection).items():
        sender.watch(check.run(), f"templates of {name}")
        sender.warn(f"templates of {name}", check.describe)
    sender.watch(receipts.run(), "receipts")
    sender.work(channel)
    webhook_modes = WebhookModes(connection)
    await _warn_of_plain(webhook_modes, wechat)
    caller_check = CallerCheck("wechat", settings.service_key, settings.peer_keys)
    hooks = make_router(
        _make_hook_accounts(wechat, sender.former), webhook, HookChecks(Nonces(connection), webhook_modes, time.time)
    )
    parts = RouteServices(followers, bindings, channel.apis, Users(auth), Audit(sender.broker))
    return make_api(parts, caller_check, hooks)


@asynccontextmanager
async def open_channel(
    wechat: WeChat,
    connection: Redis,
    followers: Followers,
    allowances: Allowances,
    history: Peer,
    *,
    timeouts: Timeouts | None = None,
    zone: tzinfo = UTC,
) -> AsyncIterator[WeChatChannel]:
    """Open the channel. It makes no connection to WeChat before the first message."""
    async with transport.connect(timeouts or Timeouts(), wechat) as calls:
        unconfirmed = UnconfirmedCalls(connection)
        accounts = {
            name: ChannelAccount(
                DeliveryOptions(name, api, make_breakers(name), allowances, unconfirmed, time.time),
                Templates.of(account.template, account.variable, account.templates, zone),
            )
            for (name, api), account in zip(
                _make_apis(wechat, connection, calls).items(), wechat.accounts.values(), strict=True
            )
        }
        contents = AttachmentClient(history, PROVIDER, kind="content")
        yield WeChatChannel(accounts, followers, contents, terms(wechat.uncertain))


async def find_plain(settings: Settings, redis_url: str) -> list[str]:
    """Return the accounts with an AES key whose last message was plain.

    Raises RedisUnavailable, RedisRefused, TimeoutError.
    """
    async with redis.connect(redis_url) as connection:
        return await WebhookModes(connection).find_plain(_list_encrypted(settings.wechat))


async def find_wrong_templates(settings: Settings, redis_url: str) -> dict[str, dict[str, str]]:
    """Return the templates that WeChat does not have, or with other fields: account → template → fault.

    Raises RedisUnavailable, RedisRefused, TimeoutError.
    """
    async with redis.connect(redis_url) as connection:
        return await read_wrong(connection, settings.wechat.accounts)


async def _warn_of_plain(webhook_modes: WebhookModes, wechat: WeChat) -> None:
    """Warn of accounts with an AES key whose console sends plain messages."""
    try:
        accounts = await webhook_modes.find_plain(_list_encrypted(wechat))
    except (RedisUnavailable, RedisRefused, TimeoutError):
        return  # every plain message is logged anyway
    for account in accounts:
        log.warning(
            "wechat_console_sends_plain",
            account=account,
            accepted=wechat.accounts[account].accepted_mode != "safe",
            remedy=remedy([account]),
        )


def _list_encrypted(wechat: WeChat) -> list[str]:
    return [name for name, account in wechat.accounts.items() if account.aes_key is not None]


async def make_menus(settings: Settings, account: str | None, *, replace: bool = False) -> dict[str, MenuResult]:
    """Add the button to the menu of one account, or of all. Raises StartError if the account is not configured."""
    accounts = settings.wechat.accounts
    if account is not None and account not in accounts:
        known = ", ".join(sorted(accounts))
        raise StartError(
            "{0} names no account {1}; there is {2}.", variable("wechat", "accounts"), account, known or "none"
        )
    names = sorted(accounts) if account is None else [account]
    async with redis.connect(settings.redis_url) as connection, transport.connect(Timeouts(), settings.wechat) as calls:
        apis = _make_apis(settings.wechat, connection, calls)
        return {name: await make_menu(apis[name], replace=replace) for name in names}


def _make_apis(wechat: WeChat, connection: Redis, calls: Transport) -> dict[str, Api]:
    return {
        name: Api(
            Tokens(Credentials(account.appid, account.secret, account.endpoint), connection, calls),
            calls,
            account.endpoint,
        )
        for name, account in wechat.accounts.items()
    }


def _list_texting(wechat: WeChat, templates: Mapping[str, Templates]) -> Mapping[str, int]:
    """Return the accounts that send customer-service texts → how many in a reply window."""
    return {name: wechat.accounts[name].texts_per_window for name, account in templates.items() if account.has_texts}


def _make_hook_accounts(wechat: WeChat, former: Sequence[ProviderAccount] = ()) -> dict[str, HookAccount]:
    """Make what the webhook needs of each account. Former tokens and keys are good in the mode of today alone."""
    return {
        name: replace(
            _make_hook_account(name, account),
            former=[
                replace(_make_hook_account(name, old), mode=account.accepted_mode)
                for old in _read_former(name, former)
                if old.appid == account.appid
            ],
        )
        for name, account in wechat.accounts.items()
    }


def _make_hook_account(name: str, account: Account) -> HookAccount:
    key = None if account.aes_key is None else decode_key(account.aes_key.get_secret_value())
    return HookAccount(name, account.appid, account.token.get_secret_value(), key, account.accepted_mode)


def _read_former(name: str, former: Sequence[ProviderAccount]) -> Iterator[Account]:
    """Yield an account as it was; what the model of today does not take is left out."""
    for version in former:
        with suppress(ValueError):
            if version.name == name:
                yield Account.model_validate(version.settings)


async def check_account(wechat: WeChat, name: str) -> Sequence[ProviderTrouble]:
    """Log in to an account and list its templates; return why WeChat refuses it."""
    result = await _compare(wechat, name)
    if isinstance(result, str):
        return (explain(result),)
    return (explain_templates(result.missing, result.wrong),) if result.wrong else ()


async def _compare(wechat: WeChat, name: str) -> TemplateFaults | str:
    account = wechat.accounts[name]
    async with transport.connect(Timeouts(), wechat) as calls:
        api = Api(
            OwnToken(Credentials(account.appid, account.secret, account.endpoint), calls), calls, account.endpoint
        )
        templates = Templates.of(account.template, account.variable, account.templates)
        return await compare_with_account(api, templates, always=True)


async def list_entries(wechat: WeChat, name: str, what: EntryList) -> Sequence[ProviderEntry] | None:
    """List the templates of an account; None for signatures, which WeChat has none of. Raises AccountFault."""
    if what == "signatures":
        return None
    account = wechat.accounts[name]
    async with transport.connect(Timeouts(), wechat) as calls:
        credentials = Credentials(account.appid, account.secret, account.endpoint)
        answer = await Api(OwnToken(credentials, calls), calls, account.endpoint).list_templates()
    if isinstance(answer, ErrorAnswer | CallFailure):
        raise AccountFault(explain(f"{answer.code} {answer.detail}"))
    rows = answer.get("template_list")
    return [
        ProviderEntry(
            id=str(row.get("template_id")),
            text=str(row.get("content") or ""),
            variables=find_fields(row),
            review="approved",  # WeChat lists no others
        )
        for row in (rows if isinstance(rows, list) else ())
    ]


ACCOUNTS = AccountSettings(WeChat, "accounts", (OFFICIAL_ACCOUNT,), list_accounts, check_account, list_entries)
