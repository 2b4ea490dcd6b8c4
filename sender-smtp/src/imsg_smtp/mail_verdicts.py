"""What the DNS records of a mail domain mean for its mail, and what they have to be, in Chinese or English."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Literal

from imsg_smtp.mail_dns import BounceFacts, DkimRecord, DomainFacts, Mx, ServerAddresses
from imsg_smtp.mail_setup import DkimPublic, MailSetup

Translate = Callable[[str, str], str]
"""Chooses the Chinese or the English form of a text."""

RSA = "rsa"
"""The kind of key that every receiver checks; Gmail, for one, ignores ed25519."""

INCLUDES = (
    (("exmail.qq.com", "qq.com"), "spf.mail.qq.com"),
    (("qiye.163.com", "ym.163.com", "163.com", "126.com"), "spf.163.com"),
    (("qiye.aliyun.com",), "spf.qiye.aliyun.com"),
    (("aliyun.com", "aliyuncs.com"), "spf1.dm.aliyun.com"),
    (("qcloudmail.com",), "qcloudmail.com"),
    (("gmail.com", "google.com"), "_spf.google.com"),
    (("office365.com", "outlook.com"), "spf.protection.outlook.com"),
)
"""Ending of the server's name → the SPF record of its addresses, from the providers' help pages."""

DMARC_WANTED = "v=DMARC1; p=none"


def in_chinese(zh: str, en: str) -> str:
    """Return the Chinese form."""
    del en
    return zh


def in_english(zh: str, en: str) -> str:
    """Return the English form."""
    del zh
    return en


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict about one record; `remedy` is empty where nothing has to be done."""

    part: str
    state: str
    remedy: str = ""
    is_known: bool = True
    """Whether DNS has answered."""
    type: Literal["MX", "TXT", "PTR"] = "TXT"
    name: str = ""
    """The DNS name of the record; empty where it is not known."""
    wanted: str = ""
    """The value to enter; empty where it is not known."""
    found: Sequence[str] = ()


def describe_records(facts: DomainFacts, setup: MailSetup, translate: Translate) -> list[Verdict]:
    """Return a verdict for each record of the sender's domain."""
    dmarc = replace(
        _describe_dmarc(facts, translate),
        name=f"_dmarc.{facts.dmarc.at or facts.domain}",
        wanted=facts.dmarc.record or DMARC_WANTED,
        found=[facts.dmarc.record] if facts.dmarc.record else [],
    )
    spf = _describe_spf(facts, setup, translate)
    wanted = write_spf(facts, setup) if spf.remedy else facts.spf.records[0]
    spf = replace(spf, name=facts.domain, wanted=wanted, found=facts.spf.records)
    mx = _describe_mx_of_sender(facts.mx, translate)
    return [
        replace(mx, type="MX", name=facts.domain, found=facts.mx.hosts),
        _mark_unknown(spf, facts.spf.unanswered, translate),
        *_describe_dkim(facts, setup, translate),
        _mark_unknown(dmarc, facts.dmarc.unanswered, translate),
        *_describe_servers(facts, translate),
    ]


def describe_unanswered(facts: DomainFacts, translate: Translate) -> list[Verdict]:
    """Return which lookups got no answer, if any."""
    if not facts.unanswered:
        return []
    remedy = translate("稍后再查，或用 --dns 指定一台服务器。", "Try again later, or name a server by --dns.")
    state = translate("未答复：", "no answer: ") + ", ".join(facts.unanswered[:5])
    return [Verdict("DNS", state, remedy)]


def _mark_unknown(verdict: Verdict, unanswered: Sequence[str], translate: Translate) -> Verdict:
    """Return the verdict, or "not known" where a lookup that it depends on got no answer."""
    if not unanswered:
        return verdict
    state = translate("不知道：DNS 没有答复", "not known: DNS gave no answer")
    return replace(verdict, state=state, remedy="", is_known=False, wanted="", found=())


def _describe_mx_of_sender(mx: Mx, translate: Translate) -> Verdict:
    remedy = translate(
        f"为 {mx.domain} 添加 MX 记录，否则退信与回复无处可去，一些收件方也会因此拒收。",
        f"Give {mx.domain} an MX record: bounces and replies are lost without, and some receivers refuse the mail.",
    )
    state = translate("该域名收不了信", "the domain takes no mail")
    return _mark_unknown(Verdict("MX", *_describe_hosts(mx, state, remedy)), mx.unanswered, translate)


def describe_bounce_mx(mx: Mx, translate: Translate) -> Verdict:
    """Return where mail to a bounce domain goes."""
    remedy = translate(
        f"为 {mx.domain} 添加 MX 记录，指向收退信的地方；没有它，退信全部丢失，一些收件方也会拒收。",
        f"Give {mx.domain} an MX record that leads to the bounce source: all bounces are lost without, and some "
        "receivers refuse the mail.",
    )
    state = translate("退信域名收不了信", "the domain for bounces takes no mail")
    return _mark_unknown(Verdict(f"MX {mx.domain}", *_describe_hosts(mx, state, remedy)), mx.unanswered, translate)


def _describe_hosts(mx: Mx, fault: str, remedy: str) -> tuple[str, str]:
    return (", ".join(mx.hosts[:3]), "") if mx.accepts_mail else (fault, remedy)


def _describe_spf(facts: DomainFacts, setup: MailSetup, translate: Translate) -> Verdict:
    spf = facts.spf
    if not spf.records:
        record = write_spf(facts, setup) or translate("v=spf1 ip4:您的出口地址 ~all", "v=spf1 ip4:YOUR.ADDRESS ~all")
        remedy = translate(
            f"在 {facts.domain} 添加 TXT 记录：{record}", f"Add a TXT record at {facts.domain}: {record}"
        )
        return Verdict("SPF", translate("没有记录", "no record"), remedy)
    if spf.fault:
        return _describe_spf_fault(spf.fault, translate)
    record = spf.records[0]
    if spf.end == "+all":
        remedy = translate("改为 ~all 或 -all。", "End it with ~all or -all.")
        return Verdict("SPF", translate("+all 放行任何人", "+all lets any server send"), remedy)
    for host in setup.hosts:
        include = find_include(host)
        if include and not _lets_send(facts, host, include):
            state = translate(f"未包含 {host} 的发信地址", f"does not include the addresses that {host} sends from")
            remedy = translate(f"在记录中加入 include:{include}。", f"Add include:{include} to it.")
            return Verdict("SPF", state, remedy)
        if not include and not facts.servers[host].are_private and not facts.covers(host):
            state = translate(f"{record}；{host} 的地址不在其中", f"{record}; the address of {host} is not in it")
            remedy = translate(
                f"若 {host} 直接投递，加入它的地址。", f"If {host} delivers mail itself, add its address."
            )
            return Verdict("SPF", state, remedy)
    return Verdict("SPF", record)


def _lets_send(facts: DomainFacts, host: str, include: str) -> bool:
    return any(f":{include}" in record for record in facts.spf.records) or facts.covers(host)


def write_spf(facts: DomainFacts, setup: MailSetup) -> str:
    """Return the SPF record that allows all servers; empty where their addresses are not known.

    The terms of the present record stay, except those that make receivers ignore it.
    """
    spf = facts.spf
    if spf.fault == "lookups":
        return ""  # only the owner knows which includes can be removed
    terms = list(dict.fromkeys(term for record in spf.records for term in record.split()[1:]))
    invalid = spf.fault.removeprefix("include ").lower()
    terms = [term for term in terms if term.lower() not in {"all", "+all", f"include:{invalid}", f"redirect={invalid}"}]
    ends = [term for term in terms if term[1:].lower() == "all" or term.lower().startswith("redirect=")]
    present = [term for term in terms if term not in ends]
    added = dict.fromkeys(term for host in setup.hosts for term in _write_terms(facts, host) if term not in present)
    end = next(iter(ends), "~all")
    return " ".join(["v=spf1", *present, *added, end]) if present or added or spf.records else ""


def _write_terms(facts: DomainFacts, host: str) -> list[str]:
    """Return the terms that an SPF record lacks to allow a server."""
    include = find_include(host)
    if include:
        return [] if _lets_send(facts, host, include) else [f"include:{include}"]
    server = facts.servers[host]
    if server.are_private or facts.covers(host):
        return []
    return [f"ip{ip_address(row.address).version}:{row.address}" for row in server.rows]


def _describe_spf_fault(fault: str, translate: Translate) -> Verdict:
    match fault:
        case "several":
            state = translate("有多条记录，等于没有", "several records, which count as none")
            remedy = translate("合并为一条。", "Join them into one.")
        case "lookups":
            state = translate("查询超过 10 次，等于没有", "more than 10 lookups, which counts as none")
            remedy = translate("减少 include。", "Include less.")
        case _:
            name = fault.removeprefix("include ")
            state = translate(f"引用的 {name} 没有 SPF", f"{name}, which it includes, has none")
            remedy = translate("更正或删除它。", "Correct or remove it.")
    return Verdict("SPF", state, remedy)


def _describe_dkim(facts: DomainFacts, setup: MailSetup, translate: Translate) -> list[Verdict]:
    if not setup.keys:
        state = translate("iMSG 不签名；邮件服务商可能代签", "iMSG does not sign; the mail provider may")
        remedy = translate(
            "在服务商处开启 DKIM，或运行 imsg dkim new 自行签名；imsg doctor mail --selector 可查服务商的记录。",
            "Switch DKIM on at the provider, or sign by `imsg dkim new`; `imsg doctor mail --selector` checks the "
            "provider's record.",
        )
        return [Verdict("DKIM", state, remedy)]
    verdicts = [
        _mark_unknown(_describe_key(record, key, translate), record.unanswered, translate)
        for key, record in zip(setup.keys, facts.dkim, strict=True)
    ]
    kinds = {record.kind for record in facts.dkim if record.public}
    if kinds and RSA not in kinds:
        state = translate("只有 ed25519 密钥，Gmail 等收件方不检查它", "ed25519 alone, which Gmail and others ignore")
        remedy = translate(
            "再加一把 RSA 密钥：imsg dkim new 会同时生成两种。", "Add an RSA key: `imsg dkim new` makes both kinds."
        )
        verdicts.append(Verdict("DKIM", state, remedy))
    return verdicts


def _describe_key(record: DkimRecord, key: DkimPublic, translate: Translate) -> Verdict:
    """Compare a key's record with the key that signs."""
    state, remedy = _compare_key(record, key, translate)
    wanted = key.record or ("" if remedy else next(iter(record.texts), ""))
    return Verdict(f"DKIM {key.selector}", state, remedy, name=key.at, wanted=wanted, found=record.texts)


def _compare_key(record: DkimRecord, key: DkimPublic, translate: Translate) -> tuple[str, str]:
    if record.public is None:
        remedy = translate(
            f"在 {key.at} 添加 imsg dkim new 给出的 TXT 记录。", f"Add the TXT record of `imsg dkim new` at {key.at}."
        )
        return translate("没有记录", "no record"), remedy
    if not record.public:
        state = translate("密钥已吊销（p= 为空）", "the key is revoked (empty p=)")
        return state, translate("换一把密钥。", "Make a new key.")
    if not key.public:
        return translate("记录存在", "the record exists"), ""
    if key.public == record.public:
        return translate("与密钥相符", "fits the key"), ""
    remedy = translate(
        "更正记录或密钥文件；不符的签名比没有更糟。",
        "Correct the record or the key file: a wrong signature is worse than none.",
    )
    return translate("与签名的密钥不符", "does not fit the key that signs"), remedy


def _describe_dmarc(facts: DomainFacts, translate: Translate) -> Verdict:
    dmarc = facts.dmarc
    if not dmarc.policy:
        remedy = translate(
            f"在 _dmarc.{facts.domain} 添加 TXT 记录：{DMARC_WANTED}（加上 ; rua=mailto:您的邮箱 可收到报告）",
            f"Add a TXT record at _dmarc.{facts.domain}: {DMARC_WANTED} (; rua=mailto:YOU brings you reports)",
        )
        return Verdict("DMARC", translate("没有记录", "no record"), remedy)
    return Verdict("DMARC", f"p={dmarc.policy} ({dmarc.at})")


def _describe_servers(facts: DomainFacts, translate: Translate) -> list[Verdict]:
    verdicts = []
    for host, server in facts.servers.items():
        verdict = replace(
            _describe_ptr(host, server, translate),
            part="PTR" if len(facts.servers) == 1 else f"PTR {host}",
            type="PTR",
            name=next((row.address for row in server.rows), host),
            found=[row.name for row in server.rows if row.name],
        )
        verdicts.append(_mark_unknown(verdict, server.unanswered, translate))
    return verdicts


def _describe_ptr(host: str, server: ServerAddresses, translate: Translate) -> Verdict:
    rows = server.rows
    if not rows:
        state = translate("服务器的域名没有地址", "the server's name has no address")
        return Verdict("PTR", state, translate(f"更正服务器的域名 {host}。", f"Correct the server's name {host}."))
    if server.are_private:
        return Verdict(
            "PTR",
            translate(
                "服务器在内网，无法得知其出口地址",
                "the server is in a private network; the address that it sends from is not known",
            ),
        )
    state = ", ".join(f"{row.address} {row.name or '-'}" for row in rows)
    if any(row.resolves_back for row in rows) or find_include(host) is not None:
        return Verdict("PTR", state)
    remedy = translate(
        "若这台服务器直接投递，请向主机商申请反向解析，并让该名字解析回来。",
        "If this server delivers mail itself, have its hosting provider enter a name that resolves back to it.",
    )
    return Verdict("PTR", state, remedy)


def find_include(host: str) -> str | None:
    """Return what SPF must include for mail sent by a host; None for a host of no known provider."""
    for endings, include in INCLUDES:
        if any(host == ending or host.endswith(f".{ending}") for ending in endings):
            return include
    return None


def describe_bounce_domain(bounces: BounceFacts, sender: DomainFacts, translate: Translate) -> list[Verdict]:
    """Return a finding for each record of a bounce domain, beside the records of the sender's domain."""
    spf = _mark_unknown(_describe_bounce_spf(bounces, sender, translate), bounces.spf.unanswered, translate)
    return [describe_bounce_mx(bounces.mx, translate), spf]


def _describe_bounce_spf(bounces: BounceFacts, sender: DomainFacts, translate: Translate) -> Verdict:
    part = f"SPF {bounces.domain}"
    if bounces.spf.is_valid and bounces.spf.end != "+all":
        return Verdict(part, bounces.spf.records[0] + _describe_alignment(bounces.domain, sender, translate))
    record = next(iter(sender.spf.records), "v=spf1 … ~all")
    state = (
        translate("没有记录", "no record") if not bounces.spf.records else translate("记录无效", "the record is void")
    )
    remedy = translate(
        f"收件方查的是信封域名的 SPF：在 {bounces.domain} 添加与 {sender.domain} 相同的 TXT 记录：{record}",
        f"Receivers check the envelope's domain: give {bounces.domain} the TXT record of {sender.domain}: {record}",
    )
    return Verdict(part, state, remedy)


def _describe_alignment(domain: str, sender: DomainFacts, translate: Translate) -> str:
    """Return a warning where DMARC ignores this SPF for the sender's domain (RFC 7489, 3.1.2) and needs DKIM."""
    is_same = domain == sender.domain
    is_below = domain.endswith(f".{sender.domain}") or sender.domain.endswith(f".{domain}")
    if is_same or (is_below and not sender.dmarc.strict_spf):
        return ""
    return translate(
        f"；对 {sender.domain} 的 DMARC 不算数，须有 DKIM",
        f"; DMARC of {sender.domain} ignores it, so DKIM is required",
    )


def describe_receivers(facts: DomainFacts, setup: MailSetup, translate: Translate) -> list[tuple[str, str]]:
    """Return what QQ, 163 and Gmail do with mail of this domain; docs/providers.md has the sources."""
    if facts.spf.unanswered or facts.dmarc.unanswered or any(record.unanswered for record in facts.dkim):
        unknown = translate("不知道：DNS 没有答复。", "not known: DNS gave no answer.")
        return [(receiver, unknown) for receiver in ("QQ", "163", "Gmail")]
    present = [record for record in facts.dkim if record.public]
    pairs = zip(setup.keys, facts.dkim, strict=True)
    fitting = [record for key, record in pairs if record.public and key.public in ("", record.public)]
    has_spf = facts.spf.is_valid and facts.spf.end != "+all" and _includes_servers(facts, setup)
    is_enforced = facts.dmarc.policy in ("reject", "quarantine")
    has_dkim = bool(fitting)
    gmail_counts_dkim = any(record.kind == RSA for record in fitting) and len(fitting) == len(present)
    gmail = _predict_gmail(translate, has_spf=has_spf, has_dkim=gmail_counts_dkim, has_dmarc=bool(facts.dmarc.policy))
    return [
        ("QQ", _predict_qq(translate, has_spf=has_spf, has_dkim=has_dkim, is_enforced=is_enforced)),
        ("163", _predict_netease(translate, has_spf=has_spf, has_dkim=has_dkim, is_enforced=is_enforced)),
        ("Gmail", gmail),
    ]


def _includes_servers(facts: DomainFacts, setup: MailSetup) -> bool:
    """Return whether SPF covers the known providers; the addresses that other servers send from are not known."""
    includes = ((host, find_include(host)) for host in setup.hosts)
    return all(_lets_send(facts, host, include) for host, include in includes if include is not None)


def _predict_qq(translate: Translate, *, has_spf: bool, has_dkim: bool, is_enforced: bool) -> str:
    if not has_spf and not has_dkim:
        if is_enforced:
            return translate("拒收（550 DMARC check failed）。", "refuses (550 DMARC check failed).")
        return translate(
            "多半进垃圾箱，量大时拒收或限频（550）。",
            "puts most of it into spam; refuses or throttles large volumes (550).",
        )
    if not has_spf:
        return translate(
            "接收，但没有 SPF 时信誉低，容易限频。",
            "takes it; without SPF its reputation is low, and QQ throttles it soon.",
        )
    return translate(
        "接收；频率超限时以 550 限频，iMSG 会稍后重试。",
        "takes it; throttles by a 550 what comes too fast, and iMSG tries again later.",
    )


def _predict_netease(translate: Translate, *, has_spf: bool, has_dkim: bool, is_enforced: bool) -> str:
    if is_enforced and not has_spf and not has_dkim:
        return translate("拒收（550 MI:DMA）。", "refuses (550 MI:DMA).")
    if not has_spf:
        return translate("可能拒收（550 MI:SPF）。", "may refuse (550 MI:SPF).")
    return translate(
        "接收；频率超限时限频（451 MI:SFQ、550 MI:STC），iMSG 会稍后重试。",
        "takes it; throttles what comes too fast (451 MI:SFQ, 550 MI:STC), and iMSG tries again later.",
    )


def _predict_gmail(translate: Translate, *, has_spf: bool, has_dkim: bool, has_dmarc: bool) -> str:
    if not has_spf and not has_dkim:
        return translate(
            "拒收（550 5.7.26）：SPF 与 DKIM 至少要有一个。", "refuses (550 5.7.26): it wants SPF or DKIM at least."
        )
    if not (has_spf and has_dkim and has_dmarc):
        return translate(
            "每天不足 5,000 封时接收；达到后要求 SPF、DKIM、DMARC 三者齐全，否则拒收。",
            "takes it below 5,000 a day; from there on it requires SPF, DKIM and DMARC, and refuses otherwise.",
        )
    return translate(
        "接收，量大也可；推广邮件还须一键退订。",
        "takes it, large volumes too; promotional mail needs one-click unsubscribe as well.",
    )
