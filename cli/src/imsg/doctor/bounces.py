"""The bounces part of `imsg doctor`: the bounce domains in DNS, and each bounce source that is set (docs/mail.md)."""

import asyncio
import errno
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import imsg_smtp.main
from imsg import phrases
from imsg.doctor.ways_back import describe_way_back, find_bounce_domains, read_verdict
from imsg.findings import ENGLISH, TIMEOUT_S, Finding, Translate
from imsg.mail_servers import check_mailboxes
from imsg_runtime.lines import fill
from imsg_runtime.settings import load, variable
from imsg_smtp.mail_dns import Resolver, find_mx
from imsg_smtp.mail_verdicts import describe_bounce_mx

LOCAL_HOSTS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Host that means every address of this machine → the address that reaches it from here."""

GREETING_OCTETS = 512
"""RFC 5321, 4.5.3.1.5."""


async def examine(
    settings: Mapping[str, Any], translate: Translate = ENGLISH, resolver: Resolver | None = None
) -> list[Finding]:
    """Check what `settings` of the e-mail channel say about bounces; return nothing where they say nothing.

    Raises StartError for a wrong setting.
    """
    # The sandbox may replace the mail server: then the settings name none.
    sandbox = {"host": "127.0.0.1", "sender": "imsg@example.com"}
    smtp = load(imsg_smtp.main.Settings, history_url="http://history", smtp=sandbox | dict(settings)).smtp
    domains, sources = find_bounce_domains(smtp), _name_sources(smtp)
    if not domains and not sources:
        return []
    ways_back = (describe_way_back(name, smtp, translate) for name in smtp.all_servers)
    findings = [_describe_sources(domains, sources), *(way for way in ways_back if way.remedy)]
    resolver = resolver or Resolver()
    records = [await find_mx(domain, resolver) for domain in domains]
    findings += [read_verdict(describe_bounce_mx(mx, translate)) for mx in records]
    if smtp.bounce_listener is not None:
        findings.append(await _check_listener(smtp.bounce_listener.host, smtp.bounce_listener.port, domains))
    return [*findings, *(await check_mailboxes(smtp, translate)).values()]


def _name_sources(smtp: imsg_smtp.main.Smtp) -> list[str]:
    """Return the names of the bounce sources that are set."""
    sources = {
        "pushed": bool(smtp.bounce_secret),
        "by mailbox": bool(smtp.bounce_mailboxes),
        "by listener": smtp.bounce_listener is not None,
    }
    return [name for name, is_set in sources.items() if is_set]


def _describe_sources(domains: Sequence[str], sources: Sequence[str]) -> Finding:
    """Return whether bounces to the domains reach a source."""
    names, ways = ", ".join(domains), ", ".join(map(phrases.translate, sources))
    if not domains and "by mailbox" in sources:
        return Finding("bounces", fill("go to the senders' own mailboxes, and come in {0}", ways))
    if not domains:
        name = variable("smtp", "bounce_domain")
        remedy = fill(
            "Set {0} to the domain whose mail comes in there: now no mail has it for its envelope sender.", name
        )
        return Finding("bounces", fill("could come in ({0}), and none is sent here", ways), remedy)
    if not sources:
        listener, mailbox = variable("smtp", "bounce_listener", "port"), variable("smtp", "bounce_mailbox", "host")
        remedy = fill("Set {0}, {1} or {2} (docs/mail.md).", mailbox, listener, variable("smtp", "bounce_secret"))
        return Finding("bounces", fill("go to {0}, and nothing takes them in: they are lost", names), remedy)
    return Finding("bounces", fill("go to {0}, and come in {1}", names, ways))


async def _check_listener(host: str, port: int, domains: Sequence[str]) -> Finding:
    """Read the greeting of the listener; where nothing listens, check whether iMSG could."""
    address, part = f"{host}:{port}", "bounce listener"
    greeting = await _read_greeting(LOCAL_HOSTS.get(host, host), port)
    if greeting is None:
        return _check_port(host, port)
    if greeting.startswith("421 "):
        name = variable("smtp", "bounce_listener", "connections")
        remedy = fill("Find out which clients keep them open; raise {0} if they are wanted.", name)
        return Finding(part, fill("{0} answers, and all its connections are taken", address), remedy)
    if not (greeting.startswith("220 ") and greeting[4:].split(" ")[0] in domains):
        remedy = fill("End what listens there, or choose another {0}.", variable("smtp", "bounce_listener", "port"))
        return Finding(part, fill("something else answers at {0}: {1}", address, greeting[:80] or "no word"), remedy)
    return Finding(part, fill("answers at {0}", address))


async def _read_greeting(host: str, port: int) -> str | None:
    """Return a mail server's first line, empty if it sends none; None where nothing listens."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
    except (TimeoutError, OSError):
        return None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            line = await reader.read(GREETING_OCTETS)
    except (TimeoutError, OSError):
        return ""
    finally:
        writer.close()
    return line.decode("ascii", "replace").strip()


def _check_port(host: str, port: int) -> Finding:
    """Return whether iMSG can listen there, by listening for a moment."""
    part, address = "bounce listener", f"{host}:{port}"
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
    except OSError as error:
        remedy = fill(
            "Correct {0}: it must be an address of this machine.", variable("smtp", "bounce_listener", "host")
        )
        if error.errno in {errno.EACCES, errno.EPERM}:
            name = variable("smtp", "bounce_listener", "port")
            remedy = fill(
                "Ports below 1024 are root's: choose another {0}, and forward port 25 of the outside to it.", name
            )
        return Finding(
            part, fill("{0} can't be listened on ({1})", address, (error.strerror or str(error)).lower()), remedy
        )
    return Finding(part, fill("nothing listens at {0} yet; iMSG does from its next start on", address))
