"""What the DNS records of a sender's domain mean, with a DNS server of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from imsg_smtp.mail_dns import MAX_SPF_LOOKUPS, DomainFacts, Resolver, find_bounce_facts, find_facts
from imsg_smtp.mail_setup import DkimPublic, MailSetup
from imsg_smtp.mail_verdicts import (
    describe_bounce_domain,
    describe_receivers,
    describe_records,
    describe_unanswered,
    in_chinese,
    in_english,
)
from imsg_smtp.main import make_dkim_keys, read_setup
from imsg_smtp.sender_dns import examine
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

WITHIN_S = 60.0

RECORD = "v=DKIM1; k=rsa; p=QUJD"
SETUP = MailSetup("example.com", ["mail.example.com"], [DkimPublic("example.com", "s1", "QUJD", RECORD)])
INCLUDED = ("spf.mail.qq.com", "spf.163.com", "spf.qiye.aliyun.com", "qcloudmail.com")
LANGUAGES = {"zh": in_chinese, "en": in_english}


@asynccontextmanager
async def dns_server(zone: Zone, *, silent: bool = False) -> AsyncIterator[tuple[Resolver, NameServer]]:
    async with answering(zone, silent=silent) as server:
        resolver = Resolver("127.0.0.1", server.port)
        if not silent:  # what answers is waited for, however busy the machine is
            resolver._resolver.timeout = resolver._resolver.lifetime = WITHIN_S
            resolver._ends_at += WITHIN_S
        yield resolver, server


async def facts_of(zone: Zone, setup: MailSetup = SETUP) -> DomainFacts:
    async with dns_server(zone) as (resolver, _):
        return await find_facts(setup, resolver)


def without(*keys: str, **more: Sequence[str]) -> Zone:
    del more
    return {key: rows for key, rows in GOOD.items() if key not in keys}


async def test_a_domain_where_all_is_well_needs_no_remedy_and_all_receivers_take_its_mail() -> None:
    facts = await facts_of(GOOD)
    lines = describe_records(facts, SETUP, in_english)
    assert [(line.part, line.remedy) for line in lines] == [
        ("MX", ""),
        ("SPF", ""),
        ("DKIM s1", ""),
        ("DMARC", ""),
        ("PTR", ""),
    ]
    assert {name: verdict.split(" ")[0] for name, verdict in describe_receivers(facts, SETUP, in_english)} == {
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
    lines = describe_records(await facts_of(zone), SETUP, LANGUAGES[language])
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
    found = dict(describe_receivers(await facts_of(without(*gone)), SETUP, in_english))
    assert all(part in found[receiver] for receiver, part in verdicts.items()), found


async def test_ed25519_alone_is_no_dkim_to_gmail() -> None:
    zone: Zone = {**GOOD, "s1._domainkey.example.com TXT": ['"v=DKIM1; k=ed25519; p=QUJD"']}
    facts = await facts_of(zone)
    (line,) = [line for line in describe_records(facts, SETUP, in_english) if line.part == "DKIM"]
    assert "RSA" in line.remedy
    assert "5,000" in dict(describe_receivers(facts, SETUP, in_english))["Gmail"]
    facts = await facts_of({key: rows for key, rows in zone.items() if key != "example.com TXT"})
    assert "5.7.26" in dict(describe_receivers(facts, SETUP, in_english))["Gmail"]
    both = MailSetup("example.com", ["mail.example.com"], [*SETUP.keys, DkimPublic("example.com", "s2", "QUJD")])
    facts = await facts_of({**zone, "s2._domainkey.example.com TXT": GOOD["s1._domainkey.example.com TXT"]}, both)
    assert "large volumes" in dict(describe_receivers(facts, both, in_english))["Gmail"]
    assert not [line for line in describe_records(facts, both, in_english) if line.remedy]


async def test_a_known_providers_addresses_are_to_be_included() -> None:
    setup = MailSetup("example.com", ["smtp.exmail.qq.com"])
    facts = await facts_of({**GOOD, "smtp.exmail.qq.com A": ["1.2.3.4"]}, setup)
    spf = next(line for line in describe_records(facts, setup, in_chinese) if line.part == "SPF")
    assert "include:spf.mail.qq.com" in spf.remedy
    included = {
        **GOOD,
        "example.com TXT": ['"v=spf1 include:spf.mail.qq.com ~all"'],
        "spf.mail.qq.com TXT": ['"v=spf1 -all"'],
    }
    facts = await facts_of({**included, "smtp.exmail.qq.com A": ["1.2.3.4"]}, setup)
    assert not next(line for line in describe_records(facts, setup, in_chinese) if line.part == "SPF").remedy


async def test_dmarc_of_the_domain_above_holds_for_those_below() -> None:
    zone = {**GOOD, "_dmarc.example.com TXT": ['"v=DMARC1; p=reject; sp=none"']}
    facts = await facts_of(zone, MailSetup("mail.example.com", ["mail.example.com"]))
    assert (facts.dmarc.at, facts.dmarc.policy) == ("example.com", "none")


async def test_an_spf_record_that_includes_itself_or_too_much_ends() -> None:
    zone: dict[str, Sequence[str]] = {"example.com TXT": ['"v=spf1 include:example.com include:example.com -all"']}
    async with dns_server(zone) as (resolver, server):
        facts = await find_facts(MailSetup("example.com"), resolver)
        assert facts.spf.fault == "lookups"
        assert server.questions.count("example.com TXT") <= MAX_SPF_LOOKUPS + 2


async def test_a_server_that_does_not_answer_is_reported_in_time() -> None:
    async with dns_server({}, silent=True) as (resolver, _), asyncio.timeout(WITHIN_S):
        facts = await find_facts(SETUP, resolver)
        assert "MX example.com" in facts.unanswered
        lines = describe_records(facts, SETUP, in_english)
        assert not [line for line in lines if line.remedy or line.is_known or line.wanted]
        assert all("not known" in line.state for line in lines)
        (unanswered,) = describe_unanswered(facts, in_english)
        assert "MX example.com" in unanswered.state
        assert all("not known" in verdict for _, verdict in describe_receivers(facts, SETUP, in_english))


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
        sender, found = await find_facts(MailSetup("example.com"), resolver), await find_bounce_facts(domain, resolver)

    mx, spf = describe_bounce_domain(found, sender, LANGUAGES[language])
    assert [bool(mx.remedy), bool(spf.remedy)] == remedies
    assert note in spf.state + spf.remedy


@pytest.mark.parametrize(
    ("hosts", "texts", "wanted"),
    [
        (["smtp.exmail.qq.com"], [], "v=spf1 include:spf.mail.qq.com ~all"),
        (["smtp.exmail.qq.com", "smtp.163.com"], [], "v=spf1 include:spf.mail.qq.com include:spf.163.com ~all"),
        (["smtp.qiye.aliyun.com"], [], "v=spf1 include:spf.qiye.aliyun.com ~all"),
        (["smtp.qcloudmail.com"], ["v=spf1 mx -all"], "v=spf1 mx include:qcloudmail.com -all"),
        (["mail.example.com"], [], "v=spf1 ip4:8.8.8.8 ~all"),
        (["mail.example.com"], ["v=spf1 a:small.example.net +all"], "v=spf1 a:small.example.net ip4:8.8.8.8 ~all"),
        (["mail.example.com"], ["v=spf1 ip4:8.8.8.8 -all", "v=spf1 mx ~all"], "v=spf1 ip4:8.8.8.8 mx -all"),
        (["mail.example.com"], ["v=spf1 ip4:8.8.8.8 include:gone.example.net -all"], "v=spf1 ip4:8.8.8.8 -all"),
        (["mail.example.com"], ["v=spf1 ip4:8.8.8.0/24 -all"], "v=spf1 ip4:8.8.8.0/24 -all"),
    ],
)
async def test_the_spf_record_to_enter_lets_every_server_send_and_keeps_what_is_right(
    hosts: list[str], texts: list[str], wanted: str
) -> None:
    zone = {**without("example.com TXT"), "example.com TXT": [f'"{text}"' for text in texts]}
    setup = MailSetup("example.com", hosts)
    spf = next(line for line in describe_records(await facts_of(zone, setup), setup, in_english) if line.part == "SPF")
    assert (spf.wanted, spf.name, list(spf.found)) == (wanted, "example.com", texts)

    entered: Zone = {
        **zone,
        "example.com TXT": [f'"{wanted}"'],
        **{f"{name} TXT": ['"v=spf1 ip4:1.2.3.4 -all"'] for name in INCLUDED},
    }
    again = describe_records(await facts_of(entered, setup), setup, in_english)
    assert not [line for line in again if line.part == "SPF" and line.remedy], "what was to be entered is enough"


async def test_the_examination_returns_the_records_to_enter_and_those_found() -> None:
    async with dns_server(without("s1._domainkey.example.com TXT", "_dmarc.example.com TXT")) as (resolver, _):
        found = await examine(SETUP, english=True, resolver=resolver)
    records = {record.record: record for record in found.records}
    assert {name: record.verdict for name, record in records.items()} == {
        "MX": "good",
        "SPF": "good",
        "DKIM s1": "missing",
        "DMARC": "missing",
        "PTR": "good",
    }
    assert (records["DKIM s1"].name, records["DKIM s1"].wanted) == ("s1._domainkey.example.com", RECORD)
    assert (records["DMARC"].name, records["DMARC"].wanted) == ("_dmarc.example.com", "v=DMARC1; p=none")
    assert records["SPF"].found == ("v=spf1 ip4:8.8.8.0/24 include:spf.example.net -all",)
    assert [receiver.receiver for receiver in found.receivers] == ["QQ", "163", "Gmail"]

    async with dns_server({}, silent=True) as (resolver, _), asyncio.timeout(WITHIN_S):
        silent = await examine(SETUP, english=False, resolver=resolver)
    assert {record.verdict for record in silent.records} == {"unknown"}
    assert all("不知道" in receiver.verdict for receiver in silent.receivers)


async def test_what_stands_in_dns_reaches_no_terminal_as_a_command() -> None:
    facts = await facts_of({**GOOD, "example.com TXT": ['"v=spf1 \\027[2Jmx -all"']})
    (spf,) = [line for line in describe_records(facts, SETUP, in_english) if line.part == "SPF"]
    assert ("[2Jmx" in spf.found[0], (spf.state + spf.wanted + spf.found[0]).isprintable()) == (True, True)


def test_a_key_of_the_domain_above_and_the_servers_that_take_the_domain_count(tmp_path: Path) -> None:
    (key, _) = make_dkim_keys("s1")
    (tmp_path / "key.pem").write_bytes(key.pem)
    given = {
        "host": "smtp.exmail.qq.com",
        "sender": "a@example.com",
        "sender_domains": "example.com",
        "dkim": {"selector": "s1", "key_file": tmp_path / "key.pem"},
        "servers": {"news": {"host": "smtpdm.aliyun.com", "sender_domains": "news.example.com"}},
    }
    smtp = Smtp.model_validate(given)
    setup = read_setup(smtp, "news.example.com")
    assert list(setup.hosts) == ["smtpdm.aliyun.com"]
    assert [(key.at, key.record) for key in setup.keys] == [("s1._domainkey.example.com", key.record)]
    assert list(read_setup(smtp, "example.org").keys) == []
