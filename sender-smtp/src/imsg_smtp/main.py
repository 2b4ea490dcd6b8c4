"""The wiring of sender-smtp: history, mail servers, bounce sources and the channel."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp

from imsg_contract.provider_accounts import NamedSender, ProviderTrouble, SenderDns
from imsg_contract.results import Again, Blocked
from imsg_contract.unsubscribing import derive_keys
from imsg_delivery.attachment_client import AttachmentClient
from imsg_delivery.gateway_directory import Names, publish_names
from imsg_delivery.provider_kinds import AccountSettings, SenderSettings
from imsg_delivery.provider_pool import ProviderPool
from imsg_delivery.sender import Sender, make_sender
from imsg_runtime.redis import Redis
from imsg_runtime.sealing import Sealer
from imsg_runtime.settings import StartError, variable
from imsg_smtp import dkim, oauth, sender_dns, senders
from imsg_smtp.accounts import MAIL_SERVER, complete, explain, explain_mailbox, list_servers
from imsg_smtp.bounce_settings import FIXED_ENVELOPES, has_fixed_envelope
from imsg_smtp.bounces import bounce_sources
from imsg_smtp.bounces.addressees import Addressees
from imsg_smtp.bounces.bounce_token import derive_keys as derive_bounce_keys
from imsg_smtp.bounces.bounce_token import sign_name
from imsg_smtp.bounces.first_seen import FirstSeen
from imsg_smtp.bounces.hooks import make_router
from imsg_smtp.bounces.process import BounceProcessor
from imsg_smtp.bounces.return_path import ReturnPaths
from imsg_smtp.channel import MailChannel, make_terms
from imsg_smtp.connection import Connection
from imsg_smtp.connection_pool import ConnectionPool, Limits
from imsg_smtp.domains import SLOWED_PER_MINUTE, DomainLimits, Domains, merge_presets
from imsg_smtp.hard_bounces import HardBounces
from imsg_smtp.log_in import OAUTH2, PASSWORD, LogIn
from imsg_smtp.mail_server import MailServer
from imsg_smtp.mail_setup import DkimPublic, MailSetup
from imsg_smtp.mime import BeginSigning
from imsg_smtp.oauth import OwnToken, TokenSource
from imsg_smtp.port_probe import connect_or_explain
from imsg_smtp.rendering import MakeUnsubscribeHeaders, Renderings
from imsg_smtp.replies import DISCONNECTED, PROVIDER
from imsg_smtp.server_address import ServerAddress, Timeouts
from imsg_smtp.settings import DEFAULT, MailServerSettings, Settings, Smtp, split_domains, variable_of
from imsg_smtp.settings import NamedSender as SenderOfSettings
from imsg_smtp.unsubscribe_headers import UnsubscribeHeaders
from imsg_web import service_client
from imsg_web.app import make_app
from imsg_web.callers import Apps
from imsg_web.service import Service
from imsg_web.service_client import Peer

TRY_TIMEOUT_S = 8.0

FindTokens = Callable[[LogIn], TokenSource]

__all__ = [
    "BouncePath",
    "DkimKey",
    "MailServerSettings",
    "Settings",
    "Smtp",
    "Timeouts",
    "app",
    "explain",
    "find_bounce_path",
    "make_dkim_keys",
    "open_channel",
    "read_setup",
    "sender_domain",
    "try_bounce_mailboxes",
    "try_server",
    "variable_of",
    "works_without_login",
]


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service. Raises StartError where a setting is wrong or missing."""
    remedy = f"set {variable('smtp', 'host')} and {variable('smtp', 'sender')}"
    open_parts = partial(_open_parts, apps={} if apps is None else apps)
    return make_sender("smtp", Settings, settings, open_parts, remedy=remedy, reads_history=True, accounts=ACCOUNTS)


async def _open_parts(sender: Sender, settings: Settings, apps: Apps) -> ASGIApp:
    enter = sender.stack.enter_async_context
    history = await enter(service_client.connect(settings.history_url, settings.service_key, apps))
    unsubscribe = _prepare_unsubscribe(settings)
    keys = _derive_bounce_keys(settings)
    find_tokens = _find_tokens(sender.redis, settings)
    channel = open_channel(
        settings.smtp,
        history,
        make_unsubscribe_headers=unsubscribe,
        bounces=HardBounces(sender.broker),
        token_key=keys[0] if keys else None,
        find_tokens=find_tokens,
    )
    bounces = BounceProcessor(sender.broker, Addressees(history), FirstSeen(sender.redis), keys)
    await bounce_sources.open_sources(_bounce_sources(settings.smtp), sender, bounces, find_tokens)
    sender.work(await enter(channel))
    sender.watch(publish_names(sender.redis, PROVIDER, _list_names(settings.smtp)), "names")
    return make_app("iMSG sender-smtp", [make_router(bounces, settings.smtp.bounce_secret)])


def _find_tokens(redis: Redis, settings: Settings) -> FindTokens:
    """Return what finds the tokens of a log-in: shared under the key of the channel; without one each has its own."""
    if not settings.provider_key:
        return partial(OwnToken, destinations=settings.smtp.destinations)
    sealer = Sealer(settings.provider_key, oauth.PURPOSE)
    return lambda log_in: oauth.share_tokens(log_in, settings.smtp.destinations, redis, sealer)


def _bounce_sources(smtp: Smtp) -> bounce_sources.BounceSources:
    domains = {domain for name in smtp.all_servers if (domain := smtp.bounce_domain_of(name))}
    return bounce_sources.BounceSources(smtp.bounce_mailboxes, smtp.bounce_listener, domains)


def _derive_bounce_keys(settings: Settings) -> list[bytes]:
    """Return the keys of tokens. Raises StartError where bounces are configured without an erasure key."""
    smtp = settings.smtp
    has_source = smtp.bounce_secret or smtp.bounce_mailboxes or smtp.bounce_listener
    needs_tokens = has_source or any(smtp.bounce_domain_of(name) for name in smtp.all_servers)
    if needs_tokens and not settings.erasure_key:
        raise StartError(
            "{0} is not set, and the tokens and signed names of bounces are derived from it; give "
            "sender-smtp the same one that history has.",
            variable("erasure_key"),
        )
    return derive_bounce_keys(settings.erasure_key)


@asynccontextmanager
async def open_channel(
    smtp: Smtp,
    history: Peer,
    *,
    timeouts: Timeouts | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    make_unsubscribe_headers: MakeUnsubscribeHeaders | None = None,
    bounces: HardBounces | None = None,
    token_key: bytes | None = None,
    find_tokens: FindTokens | None = None,
) -> AsyncIterator[MailChannel]:
    """Open the channel without the service; it connects at the first mail. Raises StartError for a wrong setting.

    `token_key` signs the names of mails, and makes the envelope senders of servers with a bounce domain.
    """
    sender = senders.parse(smtp.sender)
    signing = await asyncio.to_thread(_make_signing, smtp, sender.domain) if smtp.dkim.sets else None
    async with AsyncExitStack() as stack:
        servers = dict[str, MailServer]()
        for name, server in smtp.all_servers.items():
            address = await _server_address(
                server, sender.domain, name, find_tokens or partial(OwnToken, destinations=smtp.destinations)
            )
            connect = partial(connect_or_explain, address, timeouts or Timeouts())
            connections = ConnectionPool(connect, address.scope, Limits(connections=server.connections), clock)
            domain = smtp.bounce_domain_of(name)
            servers[name] = MailServer(
                address.scope,
                connections,
                clock,
                Domains(_make_domain_limits(smtp), clock, sleep),
                ReturnPaths(token_key, domain) if domain and token_key else None,
                name=name if smtp.servers else PROVIDER,
            )
            stack.push_async_callback(servers[name].close)
        routes = [server.route(name) for name, server in smtp.all_servers.items()]
        attachments = AttachmentClient(history, PROVIDER, kind="attachment")
        yield MailChannel(
            servers,
            ProviderPool(PROVIDER, routes, clock, stays=()),
            Renderings(
                attachments,
                _make_senders(smtp, sender),
                signing,
                smtp.feedback_id,
                make_unsubscribe_headers,
                sign_name=partial(sign_name, token_key) if token_key else None,
            ),
            make_terms(sum(server.connections for server in smtp.all_servers.values()), smtp.uncertain),
            bounces,
        )


def _prepare_unsubscribe(settings: Settings) -> MakeUnsubscribeHeaders | None:
    """Return what makes unsubscribe headers; None without a public https URL, or without an erasure key."""
    if not (settings.public_url.startswith("https://") and settings.erasure_key):
        return None
    url, key = settings.public_url, derive_keys(settings.erasure_key)[0]

    def begin(sender: str, category: str) -> Callable[[str], bytes]:
        return UnsubscribeHeaders(url, key, sender, category).headers

    return begin


def _list_names(smtp: Smtp) -> Mapping[str, Names]:
    return {
        "sender": {name: sender.allowed for name, sender in smtp.senders.items()},
        "reply_to": dict.fromkeys(smtp.reply_to, ()),
    }


def _make_senders(smtp: Smtp, default: senders.Sender) -> senders.Senders:
    return senders.Senders(
        default,
        {
            name: senders.AllowedSender(
                senders.parse(sender.address),
                sender.allowed,
                None if sender.reply_to is None else senders.parse(sender.reply_to),
            )
            for name, sender in smtp.senders.items()
        },
        {name: senders.parse(address.address) for name, address in smtp.reply_to.items()},
    )


def _make_domain_limits(smtp: Smtp) -> list[DomainLimits]:
    own = [
        DomainLimits(
            name,
            split_domains(domain.match),
            domain.connections,
            domain.per_minute,
            domain.per_minute or SLOWED_PER_MINUTE,
        )
        for name, domain in smtp.domains.items()
    ]
    return merge_presets(own) if smtp.presets else own


async def try_server(smtp: Smtp, timeout_s: float, name: str = DEFAULT) -> Again | Blocked | None:
    """Connect, log in and send QUIT; return why that failed. Raises StartError."""
    find_tokens = partial(OwnToken, destinations=smtp.destinations)
    server = await _server_address(smtp.all_servers[name], senders.parse(smtp.sender).domain, name, find_tokens)
    timeouts = Timeouts(connect_s=timeout_s, greeting_s=timeout_s, command_s=timeout_s, probe_s=timeout_s)
    connection = await connect_or_explain(server, timeouts)
    if not isinstance(connection, Connection):
        return connection
    try:
        if not await connection.is_alive():
            return Again(PROVIDER, DISCONNECTED, f"{server.scope} took the connection and then fell silent.")
    finally:
        await connection.quit()
    return None


async def check_account(smtp: Smtp, name: str) -> Sequence[ProviderTrouble]:
    """Log in to a mail server and to its bounce mailbox; return why one does not take the account."""
    failure = await try_server(smtp, TRY_TIMEOUT_S, name)
    server = smtp.all_servers[name]
    if failure is None:
        mailbox = server.bounce_mailbox
        unread = mailbox and await bounce_sources.try_mailbox(mailbox, smtp.destinations, TRY_TIMEOUT_S)
        return (explain_mailbox(unread),) if unread else ()
    is_login = isinstance(failure, Blocked) and server.username is not None
    return (explain(failure, server, is_login=is_login and await works_without_login(smtp, name, TRY_TIMEOUT_S)),)


async def works_without_login(smtp: Smtp, name: str, timeout_s: float) -> bool:
    """Return whether a connection without username and password succeeds, which points to a wrong password.

    Raises StartError.
    """
    nobody = {"username": None, "password": None, "auth": PASSWORD}
    others = {other: server.model_copy(update=nobody) for other, server in smtp.servers.items()}
    return await try_server(smtp.model_copy(update={**nobody, "servers": others}), timeout_s, name) is None


def _list_senders(smtp: Smtp) -> tuple[NamedSender, ...]:
    return tuple(
        NamedSender(name=name, address=sender.address, reply_to=sender.reply_to)
        for name, sender in smtp.senders.items()
    )


def _add_senders(smtp: Smtp, added: Sequence[NamedSender]) -> Smtp:
    own = {sender.name: SenderOfSettings(address=sender.address, reply_to=sender.reply_to) for sender in added}
    return smtp.model_copy(update={"senders": own | smtp.senders})


async def _examine_domain(smtp: Smtp | None, domain: str, english: bool) -> SenderDns | None:  # noqa: FBT001
    if not domain:
        if smtp is None:
            return None
        domain = sender_domain(smtp)
    setup = MailSetup(domain) if smtp is None else await asyncio.to_thread(read_setup, smtp, domain)
    return await sender_dns.examine(setup, english=english)


_SENDERS = SenderSettings(_list_senders, _add_senders, _examine_domain)

ACCOUNTS = AccountSettings(
    Smtp, "servers", (MAIL_SERVER,), list_servers, check_account, complete=complete, senders=_SENDERS
)


async def try_bounce_mailboxes(smtp: Smtp, timeout_s: float) -> list[tuple[str, str, str | None]]:
    """Log in to each bounce mailbox, and change nothing.

    Return for each the name of its server, its own name, and why it can't be read. Raises StartError.
    """
    mailboxes = smtp.bounce_mailboxes
    failures = await asyncio.gather(
        *(bounce_sources.try_mailbox(mailbox, smtp.destinations, timeout_s) for mailbox in mailboxes.values())
    )
    return [
        (name, mailbox.name, f"{failure}." if failure else None)
        for (name, mailbox), failure in zip(mailboxes.items(), failures, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class BouncePath:
    """Where bounces of a server's mail are received."""

    host: str
    domain: str | None
    """The domain of its envelope senders."""
    is_refused: bool
    """Whether the server is known to refuse these envelope senders."""
    mailbox: str | None
    """The name of its bounce mailbox for people."""
    imap_host: str
    """The IMAP server of the account's own mailbox if it is known; else empty."""


def find_bounce_path(smtp: Smtp, name: str) -> BouncePath:
    """Return where bounces of a server's mail are received."""
    server, domain = smtp.all_servers[name], smtp.bounce_domain_of(name)
    mailbox = server.bounce_mailbox.name if server.bounce_mailbox is not None else None
    is_refused = domain is not None and has_fixed_envelope(server.host)
    return BouncePath(server.host, domain, is_refused, mailbox, FIXED_ENVELOPES.get(server.host, ""))


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A new DKIM key: the content of its file, and its DNS record."""

    kind: str
    selector: str
    pem: bytes
    record: str
    strings: str
    """The record in the form of a zone file."""


def sender_domain(smtp: Smtp) -> str:
    """Return the domain of the default sender."""
    return senders.parse(smtp.sender).domain


def read_setup(smtp: Smtp, domain: str) -> MailSetup:
    """Return how mail of a sender's domain is sent: the servers that accept it, and the keys that sign it.

    Raises StartError for a key that can't be read.
    """
    servers = smtp.all_servers.values()
    takers = [
        server for server in servers if not server.sender_domains or domain in split_domains(server.sender_domains)
    ]
    return MailSetup(domain, list(dict.fromkeys(server.host for server in takers)), _read_dkim_keys(smtp, domain))


def _read_dkim_keys(smtp: Smtp, domain: str) -> list[DkimPublic]:
    if not smtp.dkim.sets:
        return []
    signers = dkim.DomainSigners(_load_signers(smtp, sender_domain(smtp))).find(domain)
    return [
        DkimPublic(signer.domain, signer.selector, dkim.encode_public_key(signer.key), dkim.make_record(signer.key))
        for signer in signers
    ]


def make_dkim_keys(selector: str) -> list[DkimKey]:
    """Make an RSA key by `selector`, and an ed25519 key by `SELECTOR-ed25519`."""
    keys = []
    for kind, name in (("rsa", selector), ("ed25519", f"{selector}-ed25519")):
        key = dkim.make_key(kind)
        text = dkim.make_record(key)
        keys.append(DkimKey(kind, name, dkim.write_key(key), text, dkim.quote_strings(text)))
    return keys


async def _server_address(smtp: MailServerSettings, hello: str, name: str, find_tokens: FindTokens) -> ServerAddress:
    return ServerAddress(
        host=smtp.host,
        port=smtp.server_port,
        security=smtp.protection,
        hello=hello,
        tls=None if smtp.protection == "none" else await asyncio.to_thread(_make_tls_context, smtp.ca_file, name),
        username=smtp.username,
        password=smtp.password,
        tokens=find_tokens(smtp) if smtp.auth == OAUTH2 else None,
        name=name,
    )


def _make_signing(smtp: Smtp, domain: str) -> BeginSigning | None:
    """Read the DKIM keys; None where there are none. Raises StartError."""
    if not smtp.dkim.sets:
        return None
    return dkim.DomainSigners(_load_signers(smtp, domain))


def _load_signers(smtp: Smtp, domain: str) -> list[dkim.Signer]:
    signers = []
    for keys in smtp.dkim.sets:
        for selector, file in keys.pairs:
            try:
                key = dkim.load_key(file.read_bytes())
            except (OSError, dkim.DkimKeyError) as error:
                raise StartError("the DKIM key {0} {1}.", file, error) from error
            signers.append(dkim.Signer(keys.domain or domain, selector, key))
    return signers


def _make_tls_context(ca_file: Path | None, name: str) -> ssl.SSLContext:
    """Make the TLS context of all connections; reading the system's certificates blocks. Raises StartError."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise StartError(
                "{0} names {1}, which holds no certificates in PEM form ({2}).",
                variable_of(name, "ca_file"),
                ca_file,
                error,
            ) from error
    return context
