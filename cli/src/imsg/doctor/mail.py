"""`imsg doctor mail`: the sender's domain in DNS, its mail servers, and what receivers do with its mail."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import imsg_smtp.main
from imsg.api import language as find_language
from imsg.doctor.ways_back import describe_way_back, find_bounce_domains, read_verdict
from imsg.findings import Finding, Translate, print_findings
from imsg.mail_servers import check_mailboxes, check_servers
from imsg.output import print_line
from imsg_runtime.settings import StartError, load
from imsg_smtp.mail_dns import Resolver, find_bounce_facts, find_facts
from imsg_smtp.mail_setup import DkimPublic, MailSetup
from imsg_smtp.mail_verdicts import describe_bounce_domain, describe_receivers, describe_records, describe_unanswered


def main(domain: str | None, language: str | None, nameserver: str | None, selectors: Sequence[str]) -> int:
    """Check the sender's domain and the mail servers; return 0 where nothing needs a remedy. Raises StartError."""
    translate = Translate(language or find_language())
    smtp = _load_smtp(domain)
    setup = read_setup(smtp, domain, selectors)
    host, _, port = (nameserver or "").partition("#")
    findings, receivers = asyncio.run(_check(setup, smtp, (host or None, int(port or 53)), translate))
    code = print_findings(findings, language)
    print_line("")
    for receiver, verdict in receivers:
        print_line(f"{receiver}: {verdict}")
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
    if domain is None:
        assert smtp is not None  # noqa: S101  one of them is there
        own = imsg_smtp.main.sender_domain(smtp)
    else:
        own = domain.lower().rstrip(".")
    setup = MailSetup(own) if smtp is None else imsg_smtp.main.read_setup(smtp, own)
    known = {key.selector for key in setup.keys}
    others = [DkimPublic(own, selector) for selector in dict.fromkeys(selectors) if selector not in known]
    return replace(setup, keys=[*setup.keys, *others])


async def _check(
    setup: MailSetup, smtp: imsg_smtp.main.Smtp | None, nameserver: tuple[str | None, int], translate: Translate
) -> tuple[list[Finding], list[tuple[str, str]]]:
    findings: list[Finding] = []
    if smtp is not None:
        findings += (await check_servers(smtp, translate)).values()
        findings += [describe_way_back(name, smtp, translate) for name in smtp.all_servers]
        findings += (await check_mailboxes(smtp, translate)).values()
    facts = await find_facts(setup, Resolver(*nameserver))
    verdicts = [*describe_records(facts, setup, translate), *describe_unanswered(facts, translate)]
    for domain in find_bounce_domains(smtp):
        bounces = await find_bounce_facts(domain, Resolver(*nameserver))
        verdicts += describe_bounce_domain(bounces, facts, translate)
    findings += map(read_verdict, verdicts)
    return findings, describe_receivers(facts, setup, translate)
