"""`imsg doctor mail`, with a DNS server of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from imsg.doctor.mail_dns import MAX_SPF_LOOKUPS, DomainFacts, Resolver, find_bounce_facts, find_facts
from imsg.doctor.mail_verdicts import (
    MailSetup,
    describe_bounce_domain,
    describe_records,
    describe_way_back,
    find_bounce_domains,
    judge_receivers,
)
from imsg.findings import ENGLISH, Translate
from imsg_smtp.settings import Smtp
from imsg_testing.name_server import NameServer, Zone, answering

GOOD: Zone = {
    "example.com MX": ["10 mx.example.com."],
    "example.com TXT": ['"v=spf1 ip4:8.8.8.0/24 include:spf.example.net -all"', '"something else"'],
    "spf.example.net TXT": ['"v=spf1 a:out.example.net ~all"'],
    "out.example.net A": ["9.9.9.9"],
    "s1._domainkey.example.com TXT": ['"v=DKIM1; k=rsa; " "p=QUJD"'],
    "_dmarc.example.com TXT": ['"v=DMARC1; p=reject; rua=mailto:a@example.com"'],
    "mail.example.com A": ["8.8.8.8"],
    "8.8.8.8.in-addr.arpa PTR": ["mail.example.com."],
}

SETUP = MailSetup("example.com", "mail.example.com", [("s1", "QUJD")])


@asynccontextmanager
async def dns_server(zone: Zone, *, silent: bool = False) -> AsyncIterator[tuple[Resolver, NameServer]]:
    async with answering(zone, silent=silent) as server:
        yield Resolver("127.0.0.1", server.port), server


async def facts_of(zone: Zone, setup: MailSetup = SETUP) -> DomainFacts:
    async with dns_server(zone) as (resolver, _):
        return await find_facts(setup.domain, setup.host, [selector for selector, _ in setup.keys], resolver)


def without(*keys: str, **more: Sequence[str]) -> Zone:
    del more
    return {key: rows for key, rows in GOOD.items() if key not in keys}


async def test_a_domain_where_all_is_well_needs_no_remedy_and_all_receivers_take_its_mail() -> None:
    facts = await facts_of(GOOD)
    lines = describe_records(facts, SETUP, ENGLISH)
    assert [(line.part, line.remedy) for line in lines] == [
        ("MX", ""),
        ("SPF", ""),
        ("DKIM s1", ""),
        ("DMARC", ""),
        ("PTR", ""),
    ]
    assert {name: verdict.split(" ")[0] for name, verdict in judge_receivers(facts, SETUP, ENGLISH)} == {
        "QQ": "takes",
        "163": "takes",
        "Gmail": "takes",
    }
    assert facts.unanswered == []


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(
    ("zone", "part"),
    [
        (without("example.com MX"), "MX"),
        ({**GOOD, "example.com MX": ["0 ."]}, "MX"),
        (without("example.com TXT"), "SPF"),
        ({**GOOD, "example.com TXT": ['"v=spf1 -all"', '"v=spf1 ~all"']}, "SPF"),
        ({**GOOD, "example.com TXT": ['"v=spf1 +all"']}, "SPF"),
        ({**GOOD, "example.com TXT": ['"v=spf1 include:gone.example.net -all"']}, "SPF"),
        ({**GOOD, "example.com TXT": ['"v=spf1 ip4:1.1.1.1 -all"']}, "SPF"),
        (without("s1._domainkey.example.com TXT"), "DKIM s1"),
        ({**GOOD, "s1._domainkey.example.com TXT": ['"v=DKIM1; p="']}, "DKIM s1"),
        ({**GOOD, "s1._domainkey.example.com TXT": ['"v=DKIM1; p=WFla"']}, "DKIM s1"),
        ({**GOOD, "s1._domainkey.example.com TXT": ['"v=DKIM2; p=QUJD"']}, "DKIM s1"),
        (without("_dmarc.example.com TXT"), "DMARC"),
        (without("8.8.8.8.in-addr.arpa PTR"), "PTR"),
        ({**GOOD, "8.8.8.8.in-addr.arpa PTR": ["other.example.com."]}, "PTR"),
        (without("mail.example.com A"), "PTR"),
    ],
)
async def test_each_fault_has_a_remedy_in_both_languages(zone: Zone, part: str, language: str) -> None:
    lines = describe_records(await facts_of(zone), SETUP, Translate(language))
    wrong = {line.part: line for line in lines if line.remedy}
    assert part in wrong
    assert any("\u4e00" <= letter <= "\u9fff" for letter in wrong[part].remedy) == (language == "zh")


@pytest.mark.parametrize(
    ("gone", "verdicts"),
    [
        (("example.com TXT", "s1._domainkey.example.com TXT"), {"QQ": "550 DMARC", "163": "MI:DMA", "Gmail": "5.7.26"}),
        (("example.com TXT",), {"163": "MI:SPF", "Gmail": "5,000"}),
        (("_dmarc.example.com TXT",), {"QQ": "takes", "Gmail": "5,000"}),
    ],
)
async def test_what_is_missing_decides_what_each_receiver_does(gone: tuple[str, ...], verdicts: dict[str, str]) -> None:
    found = dict(judge_receivers(await facts_of(without(*gone)), SETUP, ENGLISH))
    assert all(part in found[receiver] for receiver, part in verdicts.items()), found


async def test_ed25519_alone_is_no_dkim_to_gmail() -> None:
    zone: Zone = {**GOOD, "s1._domainkey.example.com TXT": ['"v=DKIM1; k=ed25519; p=QUJD"']}
    facts = await facts_of(zone)
    (line,) = [line for line in describe_records(facts, SETUP, ENGLISH) if line.part == "DKIM"]
    assert "RSA" in line.remedy
    assert "5,000" in dict(judge_receivers(facts, SETUP, ENGLISH))["Gmail"]
    facts = await facts_of({key: rows for key, rows in zone.items() if key != "example.com TXT"})
    assert "5.7.26" in dict(judge_receivers(facts, SETUP, ENGLISH))["Gmail"]
    both = MailSetup("example.com", "mail.example.com", [*SETUP.keys, ("s2", "QUJD")])
    facts = await facts_of({**zone, "s2._domainkey.example.com TXT": GOOD["s1._domainkey.example.com TXT"]}, both)
    assert "large volumes" in dict(judge_receivers(facts, both, ENGLISH))["Gmail"]
    assert not [line for line in describe_records(facts, both, ENGLISH) if line.remedy]


async def test_a_known_providers_addresses_are_to_be_included() -> None:
    setup = MailSetup("example.com", "smtp.exmail.qq.com")
    facts = await facts_of({**GOOD, "smtp.exmail.qq.com A": ["1.2.3.4"]}, setup)
    spf = next(line for line in describe_records(facts, setup, Translate("zh")) if line.part == "SPF")
    assert "include:spf.mail.qq.com" in spf.remedy
    included = {
        **GOOD,
        "example.com TXT": ['"v=spf1 include:spf.mail.qq.com ~all"'],
        "spf.mail.qq.com TXT": ['"v=spf1 -all"'],
    }
    facts = await facts_of({**included, "smtp.exmail.qq.com A": ["1.2.3.4"]}, setup)
    assert not next(line for line in describe_records(facts, setup, Translate("zh")) if line.part == "SPF").remedy


async def test_dmarc_of_the_domain_above_holds_for_those_below() -> None:
    zone = {**GOOD, "_dmarc.example.com TXT": ['"v=DMARC1; p=reject; sp=none"']}
    facts = await facts_of(zone, MailSetup("mail.example.com", "mail.example.com"))
    assert (facts.dmarc.at, facts.dmarc.policy) == ("example.com", "none")


async def test_an_spf_record_that_includes_itself_or_too_much_ends() -> None:
    zone: dict[str, Sequence[str]] = {"example.com TXT": ['"v=spf1 include:example.com include:example.com -all"']}
    async with dns_server(zone) as (resolver, server):
        facts = await find_facts("example.com", "", [], resolver)
        assert facts.spf.fault == "lookups"
        assert server.asked.count("example.com TXT") <= MAX_SPF_LOOKUPS + 2


async def test_a_server_that_does_not_answer_is_said_so_in_time() -> None:
    async with dns_server({}, silent=True) as (resolver, _), asyncio.timeout(60):
        facts = await find_facts("example.com", "mail.example.com", ["s1"], resolver)
        assert "MX example.com" in facts.unanswered
        lines = describe_records(facts, SETUP, ENGLISH)
        assert [line.part for line in lines if line.remedy] == ["DNS"]
        assert all("not known" in line.state for line in lines if line.part != "DNS")
        assert all("not known" in verdict for _, verdict in judge_receivers(facts, SETUP, ENGLISH))


BOUNCES: Zone = {
    **GOOD,
    "b.example.com MX": ["10 mx.example.com."],
    "b.example.com TXT": ['"v=spf1 ip4:8.8.8.0/24 -all"'],
    "b.example.org MX": ["10 mx.example.com."],
    "b.example.org TXT": ['"v=spf1 ip4:8.8.8.0/24 -all"'],
}


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(
    ("domain", "missing", "remedies", "note"),
    [
        ("b.example.com", "", [False, False], ""),
        ("b.example.com", "b.example.com MX", [True, False], ""),
        ("b.example.com", "b.example.com TXT", [False, True], "v=spf1 ip4:8.8.8.0/24 include:spf.example.net -all"),
        ("b.example.org", "", [False, False], "DKIM"),
        ("nowhere.example.com", "", [True, True], ""),
    ],
)
async def test_a_domain_for_bounces_is_looked_at_beside_the_senders(
    language: str, domain: str, missing: str, remedies: list[bool], note: str
) -> None:
    zone = {key: rows for key, rows in BOUNCES.items() if key != missing}
    async with dns_server(zone) as (resolver, _):
        sender, found = await find_facts("example.com", "", [], resolver), await find_bounce_facts(domain, resolver)

    mx, spf = describe_bounce_domain(found, sender, Translate(language))
    assert [bool(mx.remedy), bool(spf.remedy)] == remedies
    assert note in spf.state + spf.remedy


def test_of_each_server_it_is_said_how_bounces_come_back() -> None:
    own = {"host": "imap.qq.com", "username": "1@qq.com", "password": "x"}
    servers = {
        "netease": {"host": "smtp.163.com"},
        "qq": {"host": "smtp.qq.com", "bounce_domain": "none", "bounce_mailbox": own},
        "exmail": {"host": "smtp.exmail.qq.com", "bounce_domain": "none"},
    }
    given = {
        "host": "mail.example.com",
        "sender": "a@example.com",
        "bounce_domain": "b.example.com",
        "servers": servers,
    }
    smtp = Smtp.model_validate(given)

    lines = {name: describe_way_back(name, smtp, ENGLISH) for name in smtp.all_servers}
    assert (lines["default"].state, lines["default"].remedy) == ("come back to b.example.com", "")
    assert "IMSG_SMTP__SERVERS__NETEASE__BOUNCE_DOMAIN=none" in lines["netease"].remedy
    assert "IMSG_SMTP__SERVERS__NETEASE__BOUNCE_MAILBOX__HOST=imap.163.com" in lines["netease"].remedy
    assert ("imap.qq.com:993" in lines["qq"].state, lines["qq"].remedy) == (True, "")
    assert "IMSG_SMTP__SERVERS__EXMAIL__BOUNCE_MAILBOX__HOST=imap.exmail.qq.com" in lines["exmail"].state
    assert lines["exmail"].level == "notice"
    assert "拒收" in describe_way_back("netease", smtp, Translate("zh")).state


def test_each_domain_for_bounces_is_named_once() -> None:
    servers = {
        "second": {"host": "m.example.com"},
        "third": {"host": "m.example.com", "bounce_domain": "c.example.com"},
        "qq": {"host": "smtp.qq.com", "bounce_domain": "none"},
    }
    given = {"host": "mail.example.com", "sender": "a@example.com", "bounce_domain": "b.example.com"}

    assert find_bounce_domains(Smtp.model_validate({**given, "servers": servers})) == ["b.example.com", "c.example.com"]
    assert find_bounce_domains(None) == []
