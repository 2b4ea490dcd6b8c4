"""`imsg doctor mail`: the sender's domain in DNS, its mail servers, and what receivers do with its mail."""

import asyncio
from collections.abc import Sequence

import imsg_smtp.main
from imsg.api import language as find_language
from imsg.doctor.mail_dns import Resolver, find_bounce_facts, find_facts
from imsg.doctor.mail_verdicts import (
    MailSetup,
    describe_bounce_domain,
    describe_records,
    describe_way_back,
    find_bounce_domains,
    judge_receivers,
)
from imsg.findings import Finding, Translate, print_findings
from imsg.mail_servers import check_mailboxes, check_servers
from imsg.output import say
from imsg_runtime.settings import StartError, load

DNS_TIMEOUT_S = 25.0
"""How long all lookups may take: each has a bound of its own, and SPF needs one after another."""


def main(domain: str | None, language: str | None, nameserver: str | None, selectors: Sequence[str]) -> int:
    """Check the sender's domain and the mail servers; return 0 where nothing needs a remedy. Raises StartError."""
    translate = Translate(language or find_language())
    smtp = _load_smtp(domain)
    setup = read_setup(smtp, domain, selectors)
    host, _, port = (nameserver or "").partition("#")
    resolver = Resolver(host or None, int(port or 53))
    findings, receivers = asyncio.run(_check(setup, smtp, resolver, translate))
    code = print_findings(findings, language)
    say("")
    for receiver, verdict in receivers:
        say(f"{receiver}: {verdict}")
    return code


def _load_smtp(domain: str | None) -> imsg_smtp.main.Smtp | None:
    try:
        return load(imsg_smtp.main.Settings, history_url="http://history").smtp
    except StartError:
        if domain is None:
            raise
    return None  # a domain can be checked before there is a server


def read_setup(smtp: imsg_smtp.main.Smtp | None, domain: str | None, selectors: Sequence[str]) -> MailSetup:
    """Return how mail of `domain` is sent, by default the sender's. Raises StartError for a key that can't be read."""
    if smtp is None:
        return MailSetup((domain or "").lower().rstrip("."), "", [(selector, "") for selector in selectors])
    own = domain.lower().rstrip(".") if domain else imsg_smtp.main.sender_domain(smtp)
    keys = [(key.selector, key.public) for key in imsg_smtp.main.read_dkim_keys(smtp) if key.domain == own]
    keys += [(selector, "") for selector in selectors if selector not in dict(keys)]
    return MailSetup(own, smtp.host, keys)


async def _check(
    setup: MailSetup, smtp: imsg_smtp.main.Smtp | None, resolver: Resolver, translate: Translate
) -> tuple[list[Finding], list[tuple[str, str]]]:
    findings: list[Finding] = []
    if smtp is not None:
        findings += (await check_servers(smtp, translate)).values()
        findings += [describe_way_back(name, smtp, translate) for name in smtp.all_servers]
        findings += (await check_mailboxes(smtp, translate)).values()
    try:
        async with asyncio.timeout(DNS_TIMEOUT_S):
            facts = await find_facts(setup.domain, setup.host, [selector for selector, _ in setup.keys], resolver)
            bounce_facts = [await find_bounce_facts(domain, resolver) for domain in find_bounce_domains(smtp)]
    except TimeoutError:
        remedy = translate(
            "检查本机的 DNS，或用 --dns 指定一台服务器。", "Check this machine's DNS, or name a server by --dns."
        )
        return [*findings, Finding("DNS", translate("未在时限内答复", "no answer in time"), remedy)], []
    findings += describe_records(facts, setup, translate)
    for facts_of_domain in bounce_facts:
        findings += describe_bounce_domain(facts_of_domain, facts, translate)
    return findings, judge_receivers(facts, setup, translate)
