"""What `imsg doctor` says of the mail's way back: its domain in DNS, and each way in that is set (docs/mail.md)."""

import asyncio
import errno
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import dns.exception

import imsg_smtp.main
from imsg.findings import TIMEOUT_S, Finding
from imsg.mail_bounces import find_bounce_domains, tell_mx, tell_way_back
from imsg.mail_dns import Looker
from imsg.mail_records import Words
from imsg_runtime.settings import load, variable

ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Hosts that mean every address of this machine, and by which of them it is asked."""

GREETING_OCTETS = 512
"""RFC 5321, 4.5.3.1.5."""


async def examine(given: Mapping[str, Any], looker: Looker | None = None) -> list[Finding]:
    """Look at what is set of bounces, `given` being the settings of the e-mail channel; nothing where none is.

    Raises StartError for a wrong setting.
    """
    smtp = _read(given)
    domains = find_bounce_domains(smtp)
    ways = _name_ways(smtp)
    if not domains and not ways:
        return []
    found = [_tell_ways(domains, ways), *_find_refused(smtp)]
    found += [await _look_up(domain, looker) for domain in domains]
    if smtp.bounce_listener is not None:
        found.append(await _try_listener(smtp.bounce_listener.host, smtp.bounce_listener.port, domains))
    return [*found, *await _try_mailboxes(smtp)]


def _read(given: Mapping[str, Any]) -> imsg_smtp.main.Smtp:
    """Read the channel's settings, also where the sandbox stands in for its server."""
    played = {"host": "127.0.0.1", "sender": "imsg@example.com"}
    return load(imsg_smtp.main.Settings, history_url="http://history", smtp=played | dict(given)).smtp


def _name_ways(smtp: imsg_smtp.main.Smtp) -> list[str]:
    """Name the ways in that are set."""
    ways = {
        "pushed": bool(smtp.bounce_secret),
        "by mailbox": bool(smtp.bounce_mailboxes),
        "by listener": smtp.bounce_listener is not None,
    }
    return [name for name, is_set in ways.items() if is_set]


def _tell_ways(domains: Sequence[str], ways: Sequence[str]) -> Finding:
    """Say whether bounces can find their way from the domain to us."""
    names = ", ".join(domains)
    if not domains and "by mailbox" in ways:
        return Finding("bounces", f"go to the senders' own mailboxes, and come in {', '.join(ways)}")
    if not domains:
        remedy = f"Set {variable('smtp', 'bounce_domain')}, whose mail comes in there: no mail has it for its way back."
        return Finding("bounces", f"could come in ({', '.join(ways)}), and none is sent here", remedy)
    if not ways:
        listener, mailbox = variable("smtp", "bounce_listener", "port"), variable("smtp", "bounce_mailbox", "host")
        remedy = f"Set {mailbox}, {listener} or {variable('smtp', 'bounce_secret')} (docs/mail.md)."
        return Finding("bounces", f"go to {names}, and nothing takes them in: they are lost", remedy)
    return Finding("bounces", f"go to {names}, and come in {', '.join(ways)}")


def _find_refused(smtp: imsg_smtp.main.Smtp) -> list[Finding]:
    """Name the servers whose bounces are to come back in a way that the server is known to refuse."""
    lines = (tell_way_back(name, smtp, Words("en")) for name in smtp.all_servers)
    return [Finding(line.what, line.state, line.remedy) for line in lines if line.remedy]


async def _look_up(domain: str, looker: Looker | None) -> Finding:
    """Ask DNS where mail for the domain goes."""
    unknown = Finding(f"MX {domain}", "not known: DNS gave no answer; `imsg doctor mail` asks again")
    try:
        asking = looker or Looker()
        mx = await asking.ask(domain, "MX")
    except (OSError, dns.exception.DNSException):  # this machine names no server to ask
        return unknown
    if asking.unanswered:
        return unknown
    line = tell_mx(domain, mx, Words("en"))
    return Finding(line.what, line.state, line.remedy)


async def _try_listener(host: str, port: int, domains: Sequence[str]) -> Finding:
    """Greet who listens there; where nobody does, see whether we could."""
    where, what = f"{host}:{port}", "bounce listener"
    greeting = await _read_greeting(ANYWHERE.get(host, host), port)
    if greeting is None:
        return _judge_port(host, port)
    if greeting.startswith("421 "):
        remedy = (
            f"See who keeps them open; raise {variable('smtp', 'bounce_listener', 'connections')} if they are wanted."
        )
        return Finding(what, f"{where} answers, and all its connections are taken", remedy)
    if not (greeting.startswith("220 ") and greeting[4:].split(" ")[0] in domains):
        remedy = f"End what listens there, or choose another {variable('smtp', 'bounce_listener', 'port')}."
        return Finding(what, f"something else answers at {where}: {greeting[:80] or 'no word'}", remedy)
    return Finding(what, f"answers at {where}")


async def _read_greeting(host: str, port: int) -> str | None:
    """Read a mail server's first line, empty where none comes; None where nobody listens."""
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


def _judge_port(host: str, port: int) -> Finding:
    """Say whether iMSG can listen there, by doing so for a moment."""
    what, where = "bounce listener", f"{host}:{port}"
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
    except OSError as error:
        remedy = f"Correct {variable('smtp', 'bounce_listener', 'host')}: it is an address of this machine."
        if error.errno in {errno.EACCES, errno.EPERM}:
            remedy = (
                "Ports below 1024 are root's: choose another "
                f"{variable('smtp', 'bounce_listener', 'port')}, and have port 25 of the outside led to it."
            )
        return Finding(what, f"{where} can't be listened on ({(error.strerror or str(error)).lower()})", remedy)
    return Finding(what, f"nobody listens at {where} yet; iMSG does from its next start on")


async def _try_mailboxes(smtp: imsg_smtp.main.Smtp) -> list[Finding]:
    """Log in to each mailbox that is set."""
    found = []
    for name, where, failure in await imsg_smtp.main.try_bounce_mailboxes(smtp, TIMEOUT_S):
        what, setting = f"bounce mailbox {name}", smtp.bounce_mailboxes[name].variable("host")
        if failure is None:
            found.append(Finding(what, f"{where} lets us in"))
        else:
            found.append(Finding(what, failure, f"Correct {setting} and its like."))
    return found
