"""`imsg doctor`: the settings in force, and whether what they name is there and fit; a remedy for each fault."""

import asyncio
import contextlib
import socket
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import imsg_history.main
import imsg_sms.main
import imsg_smtp.main
import imsg_wechat.main
from imsg import (
    all_in_one,
    bounce_doctor,
    callbacks_doctor,
    effective_settings,
    services_doctor,
    stand_ins,
    tombstones,
    valkey,
    whereabouts,
)
from imsg.findings import TIMEOUT_S, Finding
from imsg.location import find_url
from imsg.output import say, say_table
from imsg_broker.connect import open_broker
from imsg_channels import CHANNELS
from imsg_channels.sms import SMS
from imsg_channels.smtp import SMTP
from imsg_channels.spec import ChannelSpec
from imsg_channels.stand_in import At, Default, MailServer, Secret
from imsg_channels.wechat import WECHAT
from imsg_contract.wire import Blocked
from imsg_database.address import hosts
from imsg_runtime import redis, unknown_settings
from imsg_runtime.logs import configure
from imsg_runtime.masking import HIDDEN, mask
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_runtime.settings import StartError, load, variable

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""PostgreSQL's SSLRequest, answered with S or N (its documentation, message formats)."""


def main(given: str | None) -> int:
    """Print settings and findings; return 0 where all is well, 1 where something needs a remedy."""
    configure("ERROR", "text")
    try:
        asked = load(all_in_one.Settings)
        url = find_url(given)
        running = whereabouts.ask(url)
        is_elsewhere = whereabouts.is_elsewhere(asked, running)
        made = {} if is_elsewhere else _read_made(asked)
        in_force = effective_settings.settings(all_in_one.MODELS, made)
        if is_elsewhere:  # services elsewhere have defaults of their own
            in_force = [setting for setting in in_force if setting.source != effective_settings.DEFAULT]
    except StartError as error:
        _report([Finding("settings", "wrong", str(error))])
        return 1
    rows = [(setting.name, setting.value, setting.source) for setting in in_force]
    say_table(("setting", "value", "source"), rows)
    say("")
    findings = [
        Finding("settings", f"nothing goes by {stray.name}", stray.remedy)
        for stray in unknown_settings.find(all_in_one.MODELS)
    ]
    findings.append(running.finding)
    findings += services_doctor.examine(url) if is_elsewhere else asyncio.run(_examine(asked))
    _report(findings)
    return 1 if any(finding.remedy for finding in findings) else 0


def _read_made(asked: all_in_one.Settings) -> dict[str, str]:
    """Say what `imsg up` puts where nobody said anything."""
    redis_url = mask(asked.redis_url) or "embedded Valkey"
    made = {
        variable("redis_url"): redis_url,
        variable("broker_url"): f"streams on {redis_url}",
        variable("database_url"): f"SQLite in {asked.data_dir}",
        variable("service_key"): HIDDEN,
        variable("token_key"): HIDDEN,
        variable("erasure_key"): HIDDEN,
        variable("secret_key"): HIDDEN,
        variable("tombstones_file"): str(tombstones.beside(asked.data_dir)),
        variable("log_level"): str(asked.log_level),
    }
    called = ("auth", "history", "callbacks", "catalog", "gateway")
    made |= {variable(f"{service}_url"): "this process" for service in called}
    for channel in CHANNELS:
        if channel.stand_in is not None and not _is_provided(channel):
            values = stand_ins.leaves(channel.stand_in.settings)
            made |= {variable(channel.name, *path): _describe_stand_in(value) for path, value in values.items()}
    return made


def _describe_stand_in(value: object) -> str:
    """Say what a setting of a stand-in is."""
    match value:
        case At() | MailServer():
            return "the sandbox"
        case Secret():
            return HIDDEN
        case Default(text):
            return text
        case _:
            return str(value)


def _is_provided(channel: ChannelSpec) -> bool:
    return stand_ins.is_provided(channel, all_in_one.read_channel(channel))


async def _examine(asked: all_in_one.Settings) -> list[Finding]:
    checks: list[tuple[str, Callable[[], Awaitable[Finding | list[Finding]]]]] = [
        ("Redis", lambda: _redis(asked)),
        ("broker", lambda: _broker(asked)),
        ("database", lambda: asyncio.to_thread(_database, asked)),
        ("contents", _contents),
        *((channel.titles.en, partial(_channel, asked, channel)) for channel in CHANNELS),
        ("bounces", lambda: bounce_doctor.examine(all_in_one.read_channel(SMTP))),
        ("callbacks", lambda: callbacks_doctor.examine(asked)),
    ]
    findings: list[Finding] = []
    for what, check in checks:
        try:
            async with asyncio.timeout(3 * TIMEOUT_S):
                found = await check()
            findings += found if isinstance(found, list) else [found]
        except StartError as error:
            findings.append(Finding(what, "wrong", str(error)))
        except TimeoutError:
            findings.append(Finding(what, "no answer in time", "See whether it runs and is not overloaded."))
    return findings


def _report(findings: Sequence[Finding]) -> None:
    rows = [("✗" if finding.remedy else "✓", finding.what, finding.state, finding.remedy) for finding in findings]
    say_table(("", "part", "state", "remedy"), rows)


async def _channel(asked: all_in_one.Settings, channel: ChannelSpec) -> Finding:
    """Examine a channel: by what is known of its provider, else whether there is one."""
    match channel.name:
        case SMTP.name:
            return await _mail_server()
        case SMS.name:
            return await asyncio.to_thread(_sms_providers)
        case WECHAT.name:
            return await _wechat(asked)
        case _ if _is_provided(channel):
            return Finding(channel.titles.en, "configured; no call is made")
        case _ if channel.stand_in is not None:
            return Finding(channel.titles.en, "the sandbox, in `imsg up`")
        case _:
            is_idle = not all_in_one.read_channel(channel)
            idle = f"nothing of {variable(channel.name)}__… is set; `imsg channels list` says what its sender wants"
            examined = "not examined: its sender alone knows its provider"
            return Finding(channel.titles.en, idle if is_idle else examined)


async def _redis(asked: all_in_one.Settings) -> Finding:
    if asked.redis_url:
        return await _settings_of_redis(asked.redis_url, "")
    embedded = valkey.find_running(asked.data_dir)
    if embedded is None:
        return Finding("Redis", "embedded; starts with `imsg up`")
    return await _settings_of_redis(embedded, "embedded, ")


async def _settings_of_redis(url: str, kind: str) -> Finding:
    try:
        async with redis.connect(url) as server:
            found = {name: await _config(server, name) for name in ("appendonly", "appendfsync", "maxmemory-policy")}
    except RedisUnavailable:
        remedy = f"Start it, or correct {variable('redis_url')}."
        return Finding("Redis", f"{kind}does not answer", "It starts with `imsg up`." if kind else remedy)
    except RedisRefused as error:
        return Finding("Redis", f"refuses: {error}", f"Correct the user and password in {variable('redis_url')}.")
    if found["appendonly"] != "yes":
        return Finding("Redis", "keeps nothing over a restart", "Set `appendonly yes` there: ledgers must last.")
    if found["maxmemory-policy"] != "noeviction":
        return Finding("Redis", "may evict", "Set `maxmemory-policy noeviction` there: claims must not vanish.")
    return Finding("Redis", f"{kind}append-only, fsync {found['appendfsync']}, noeviction")


async def _config(server: redis.Redis, name: str) -> str:
    reply: Any = await server.call("CONFIG", "GET", name)
    value = next(iter(reply.values())) if isinstance(reply, dict) else reply[1]
    return value.decode() if isinstance(value, bytes) else str(value)


async def _broker(asked: all_in_one.Settings) -> Finding:
    url = asked.broker_url
    if not url:
        return Finding("broker", "streams on the same Redis")
    shown = mask(url)
    async with open_broker(url) as broker:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                while not broker.ready:  # noqa: ASYNC110  the port has no event for it
                    await asyncio.sleep(0.05)
        if broker.ready:
            return Finding("broker", f"ready at {shown}")
    remedy = f"Start it, or correct {variable('broker_url')}; where it runs, see whether an alarm blocks it."
    return Finding("broker", f"not ready at {shown}", remedy)


def _database(asked: all_in_one.Settings) -> Finding:
    url = asked.database_url
    if not url or url.startswith("sqlite:"):
        files = sorted(asked.data_dir.glob("*.db")) if not url else [Path(url.removeprefix("sqlite:///"))]
        return _sqlite([file for file in files if file.exists()])
    return _postgres(hosts(url))


async def _contents() -> Finding:
    return Finding("contents", f"kept {load(imsg_history.main.Settings).keep_content_days} days")


def _sqlite(files: Sequence[Path]) -> Finding:
    if not files:
        return Finding("database", "SQLite; made at the first start")
    for file in files:
        try:
            with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=TIMEOUT_S)) as connection:
                (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            state = str(error)
        if state != "ok":
            return Finding("database", f"{file}: {state}", "Restore it from a backup.")
    return Finding("database", f"SQLite, sound: {', '.join(file.name for file in files)}")


def _postgres(places: Sequence[tuple[str, int]]) -> Finding:
    """Ask each host; of several one has to answer, and the others are named all the same."""
    silent = {f"{host}:{port}": why for host, port in places if (why := _silence(host, port))}
    answering = ", ".join(f"{host}:{port}" for host, port in places if f"{host}:{port}" not in silent)
    state = "; ".join(silent.values())
    if not answering:
        return Finding("database", state, f"Start it, or correct {variable('database_url')}.")
    if silent:
        remedy = f"Without it nobody can take over: start it, or correct {variable('database_url')}."
        return Finding("database", f"PostgreSQL answers at {answering}; {state}", remedy)
    return Finding("database", f"PostgreSQL answers at {answering}")


def _silence(host: str, port: int) -> str:
    """Say why no PostgreSQL answers there; empty where one does."""
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as sock:
            sock.sendall(SSL_REQUEST)
            answer = sock.recv(1)
    except OSError as error:
        return f"PostgreSQL at {host}:{port} does not answer ({(error.strerror or str(error)).lower()})"
    return "" if answer in (b"S", b"N") else f"{host}:{port} is no PostgreSQL"


async def _mail_server() -> Finding:
    if not _is_provided(SMTP):
        return Finding("mail server", "the sandbox, in `imsg up`")
    smtp = load(imsg_smtp.main.Settings, history_url="http://history").smtp
    found = await asyncio.gather(*(_one_mail_server(smtp, name) for name in smtp.all_servers))
    return next((one for one in found if one.remedy), Finding("mail server", ", ".join(one.state for one in found)))


async def _one_mail_server(smtp: imsg_smtp.main.Smtp, name: str) -> Finding:
    """Log in to one of several servers; a remedy names that server's own settings."""
    server, named = smtp.all_servers[name], partial(imsg_smtp.main.variable_of, name)
    where = f"{server.host}:{server.server_port}"
    failure = await imsg_smtp.main.try_server(smtp, TIMEOUT_S, name)
    if failure is None:
        return Finding("mail server", f"{where} answers, security {server.protection}")
    if isinstance(failure, Blocked) and server.username is not None:
        nobody = {"username": None, "password": None}
        others = {other: one.model_copy(update=nobody) for other, one in smtp.servers.items()}
        if (
            await imsg_smtp.main.try_server(smtp.model_copy(update={**nobody, "servers": others}), TIMEOUT_S, name)
            is None
        ):
            remedy = f"Correct {named('username')} and {named('password')}."
            return Finding("mail server", f"{where} refuses the login: {failure.detail}", remedy)
    if isinstance(failure, Blocked) and failure.code == "wrong_security":
        remedy = f"Port and security do not fit: correct {named('port')} or {named('security')}."
        return Finding("mail server", failure.detail, remedy)
    remedy = f"See that it runs; correct {named('host')}, PORT and SECURITY (now {server.protection})."
    return Finding("mail server", failure.detail, remedy)


def _sms_providers() -> Finding:
    """Say which providers are used, in order; a call costs money, so none is made."""
    if not _is_provided(SMS):
        return Finding("SMS providers", "the sandbox, in `imsg up`")
    settings = load(imsg_sms.main.Settings)
    sms = settings.sms
    if silent := sms.without_hook:
        secret = variable("sms", "accounts", silent[0], "hook_secret")
        remedy = f"Set {secret}, and give its provider the URL that ends in it."
        return Finding("SMS providers", f"{', '.join(silent)} can't send receipts", remedy)
    called_back = [name for name, account in sms.used.items() if account.kind == "twilio" and account.hook]
    if called_back and not settings.public_url:
        remedy = f"Set {variable('public_url')}: Twilio signs the URL that it calls back."
        return Finding("SMS providers", f"{', '.join(called_back)} can't be told where to report", remedy)
    return Finding("SMS providers", ", ".join(sms.order))


async def _wechat(asked: all_in_one.Settings) -> Finding:
    """Name the accounts whose console sends plain although there is a key; a call counts there, so none is made."""
    if not _is_provided(WECHAT):
        return Finding("WeChat", "the sandbox, in `imsg up`")
    settings = load(imsg_wechat.main.Settings, history_url="http://history")
    named = ", ".join(settings.wechat.accounts)
    url = asked.redis_url or valkey.find_running(asked.data_dir)
    if url is None:
        return Finding("WeChat", named)
    try:
        plain = await imsg_wechat.main.find_plain(settings, url)
        wrong = await imsg_wechat.main.find_wrong_templates(settings, url)
    except (RedisUnavailable, RedisRefused, TimeoutError):
        return Finding("WeChat", f"{named}; Redis does not say how their consoles send")
    return _judge_wechat(settings.wechat, named, plain, wrong)


def _judge_wechat(
    wechat: imsg_wechat.main.WeChat, named: str, plain: list[str], wrong: Mapping[str, Mapping[str, str]]
) -> Finding:
    """Say what is amiss with the accounts `named`: whose consoles send plain, which templates are not there."""
    refused = [account for account in plain if wechat.accounts[account].taken == "safe"]
    if refused:
        remedy = imsg_wechat.main.remedy(refused)
        state = f"{', '.join(refused)}: the console sends unencrypted messages, which are refused"
        return Finding("WeChat", state, remedy[0].upper() + remedy[1:] + ".")
    if wrong:
        said = "; ".join(f"{account}: {why}" for account, found in wrong.items() for why in found.values())
        remedy = f"Correct the templates under {variable('wechat', 'accounts')}, or add them in WeChat's console."
        return Finding("WeChat", said[:500], remedy)
    if plain:
        return Finding("WeChat", f"{named}; unencrypted messages come from, and are taken of, {', '.join(plain)}")
    return Finding("WeChat", named)
