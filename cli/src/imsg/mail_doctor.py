"""`imsg doctor mail`: look at the sender's domain in DNS and at its mail servers, and say how they stand."""

import asyncio
import locale
from collections.abc import Sequence

import imsg_smtp.main
from imsg.mail_bounces import find_bounce_domains, find_bounce_facts, tell_bounces, tell_way_back
from imsg.mail_dns import Looker, find_facts
from imsg.mail_records import Asked, Line, Words, tell
from imsg.mail_verdicts import judge
from imsg.output import say, say_table
from imsg_contract.wire import Again, Blocked
from imsg_runtime.settings import StartError, load

WITHIN_S = 25.0
"""How long all of DNS may take: each answer has a bound of its own, and SPF asks one after another."""

SERVER_S = 5.0

BETWEEN_SERVERS = 25
"""The port of RFC 5321; who submits mail uses 465 or 587 (RFC 8314)."""


def main(domain: str | None, language: str | None, nameserver: str | None, selectors: Sequence[str]) -> int:
    """Look at the sender's domain and at the server; return 0 where nothing needs a remedy. Raises StartError."""
    words = Words(language or ("zh" if (locale.getlocale()[0] or "").startswith("zh") else "en"))
    settings = _settings(domain)
    asked = find_asked(settings, domain, selectors)
    host, _, port = (nameserver or "").partition("#")
    looker = Looker(host or None, int(port or 53))
    lines, verdicts = asyncio.run(_examine(asked, settings, looker, words))
    columns = ("", words("项目", "part"), words("现状", "state"), words("处理", "remedy"))
    say_table(columns, [(line.mark, line.what, line.state, line.remedy) for line in lines])
    say("")
    for receiver, verdict in verdicts:
        say(f"{receiver}: {verdict}")
    return 1 if any(line.remedy for line in lines) else 0


def _settings(domain: str | None) -> imsg_smtp.main.Smtp | None:
    try:
        return load(imsg_smtp.main.Settings, history_url="http://history").smtp
    except StartError:
        if domain is None:
            raise
    return None  # a domain can be looked at before there is a server


def find_asked(smtp: imsg_smtp.main.Smtp | None, domain: str | None, selectors: Sequence[str]) -> Asked:
    """Say what is to be looked at. Raises StartError for a key that can't be read."""
    if smtp is None:
        return Asked((domain or "").lower().rstrip("."), "", [(selector, "") for selector in selectors])
    own = domain.lower().rstrip(".") if domain else imsg_smtp.main.sender_domain(smtp)
    keys = [(key.selector, key.public) for key in imsg_smtp.main.read_dkim_keys(smtp) if key.domain == own]
    keys += [(selector, "") for selector in selectors if selector not in dict(keys)]
    return Asked(own, smtp.host, keys)


async def _examine(
    asked: Asked, smtp: imsg_smtp.main.Smtp | None, looker: Looker, words: Words
) -> tuple[list[Line], list[tuple[str, str]]]:
    lines = []
    if smtp is not None:
        servers = smtp.all_servers
        failures = await asyncio.gather(*(imsg_smtp.main.try_server(smtp, SERVER_S, name) for name in servers))
        lines += [tell_server(*one, failure, words) for one, failure in zip(servers.items(), failures, strict=True)]
        lines += [tell_way_back(name, smtp, words) for name in servers]
        tried = await imsg_smtp.main.try_bounce_mailboxes(smtp, SERVER_S)
        lines += [tell_mailbox(*one, words) for one in tried]
    try:
        async with asyncio.timeout(WITHIN_S):
            facts = await find_facts(asked.domain, asked.host, [selector for selector, _ in asked.keys], looker)
            of_bounces = [await find_bounce_facts(one, looker) for one in find_bounce_domains(smtp)]
    except TimeoutError:
        remedy = words(
            "检查本机的 DNS，或用 --dns 指定一台服务器。", "See to this machine's DNS, or name a server by --dns."
        )
        return [*lines, Line("DNS", words("未在时限内答复", "no answer in time"), remedy)], []
    lines += tell(facts, asked, words)
    lines += [line for one in of_bounces for line in tell_bounces(one, facts, words)]
    return lines, judge(facts, asked, words)


def tell_server(name: str, smtp: imsg_smtp.main.MailServer, failure: Again | Blocked | None, words: Words) -> Line:
    """Say whether the server takes us."""
    where = f"{smtp.host}:{smtp.server_port}"
    what = words("邮件服务器 ", "mail server ") + name
    if failure is None:
        state = words(f"{where} 可用，加密方式 {smtp.protection}", f"{where} answers, security {smtp.protection}")
        return Line(what, state)
    host, port, security, username, password = (
        imsg_smtp.main.variable_of(name, field) for field in ("host", "port", "security", "username", "password")
    )
    remedy = words(
        f"核对 {host} 及其端口、加密方式与账号密码。", f"Correct {host}, its port, security, username and password."
    )
    if isinstance(failure, Blocked) and smtp.username is not None and failure.code.startswith(("5.7", "53")):
        remedy = words(f"核对 {username} 和 {password}。", f"Correct {username} and {password}.")
    if smtp.server_port == BETWEEN_SERVERS and isinstance(failure, Again):
        remedy = words(
            "多数云主机封禁 25 端口：改用 465（SECURITY=tls）或 587（SECURITY=starttls）。",
            "Most clouds close port 25: use 465 (SECURITY=tls) or 587 (SECURITY=starttls).",
        )
    if isinstance(failure, Blocked) and failure.code == "wrong_security":
        remedy = words(
            f"修改 {security} 或 {port}：465 配 tls，587 配 starttls。",
            f"Change {security} or {port}: 465 is for tls, 587 for starttls.",
        )
    return Line(what, failure.detail, remedy)


def tell_mailbox(name: str, where: str, failure: str | None, words: Words) -> Line:
    """Say whether the mailbox that bounces of a server's mail go to can be read."""
    what = words("退信邮箱 ", "bounce mailbox ") + name
    if failure is None:
        return Line(what, words(f"{where} 可以读取", f"{where} can be read"))
    remedy = words(
        "核对地址、账号与授权码，并在服务商处开启 IMAP。",
        "Correct host, username and password, and switch IMAP on at the provider.",
    )
    return Line(what, failure, remedy)
