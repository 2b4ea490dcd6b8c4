"""What the DNS records of a mail domain mean for its mail, in Chinese or English."""

from collections.abc import Sequence
from dataclasses import dataclass

import imsg_smtp.main
from imsg.doctor.mail_dns import BounceFacts, DkimRecord, DomainFacts, Mx
from imsg.findings import Finding, Translate
from imsg_runtime.settings import variable

RSA = "rsa"
"""The kind of key that every receiver checks; Gmail, for one, ignores ed25519."""

INCLUDES = (
    (("exmail.qq.com", "qq.com"), "spf.mail.qq.com"),
    (("qiye.163.com", "ym.163.com", "163.com", "126.com"), "spf.163.com"),
    (("aliyun.com", "aliyuncs.com"), "spf1.dm.aliyun.com"),
    (("gmail.com", "google.com"), "_spf.google.com"),
    (("office365.com", "outlook.com"), "spf.protection.outlook.com"),
)
"""Ending of the server's name → the SPF record of its addresses, from the providers' help pages."""


@dataclass(frozen=True, slots=True)
class MailSetup:
    """How mail is sent: the sender's domain, the mail server, and the keys that sign."""

    domain: str
    host: str
    keys: Sequence[tuple[str, str]] = ()
    """Selector and public key as its record must have it; the key is empty where the provider signs."""


def describe_records(facts: DomainFacts, setup: MailSetup, translate: Translate) -> list[Finding]:
    """Return a finding for each record of the sender's domain."""
    unanswered = facts.unanswered
    findings = [
        _describe_mx_of_sender(facts.mx, translate),
        _know(_describe_spf(facts, setup, translate), facts.spf.unanswered, translate),
        *_describe_dkim(facts, setup, translate),
        _know(_describe_dmarc(facts, translate), facts.dmarc.unanswered, translate),
    ]
    if setup.host:
        findings.append(_know(_describe_ptr(facts, setup, translate), facts.server.unanswered, translate))
    if unanswered:
        remedy = translate("稍后再查，或用 --dns 指定一台服务器。", "Try again later, or name a server by --dns.")
        state = translate("未答复：", "no answer: ") + ", ".join(unanswered[:5])
        findings.append(Finding("DNS", state, remedy))
    return findings


def _know(finding: Finding, unanswered: Sequence[str], translate: Translate) -> Finding:
    """Replace a finding by "not known" where a lookup that it depends on got no answer."""
    if not unanswered:
        return finding
    state = translate("不知道：DNS 没有答复", "not known: DNS gave no answer")
    return Finding(finding.part, state, level="notice")


def _describe_mx_of_sender(mx: Mx, translate: Translate) -> Finding:
    remedy = translate(
        f"为 {mx.domain} 添加 MX 记录，否则退信与回复无处可去，一些收件方也会因此拒收。",
        f"Give {mx.domain} an MX record: bounces and replies are lost without, and some receivers refuse the mail.",
    )
    state = translate("该域名收不了信", "the domain takes no mail")
    return _know(Finding("MX", *_describe_hosts(mx, state, remedy)), mx.unanswered, translate)


def describe_bounce_mx(mx: Mx, translate: Translate) -> Finding:
    """Return where mail to a bounce domain goes."""
    remedy = translate(
        f"为 {mx.domain} 添加 MX 记录，指向收退信的地方；没有它，退信全部丢失，一些收件方也会拒收。",
        f"Give {mx.domain} an MX record that leads to the bounce source: all bounces are lost without, and some "
        "receivers refuse the mail.",
    )
    state = translate("退信域名收不了信", "the domain for bounces takes no mail")
    return _know(Finding(f"MX {mx.domain}", *_describe_hosts(mx, state, remedy)), mx.unanswered, translate)


def _describe_hosts(mx: Mx, fault: str, remedy: str) -> tuple[str, str]:
    return (", ".join(mx.hosts[:3]), "") if mx.accepts_mail else (fault, remedy)


def _describe_spf(facts: DomainFacts, setup: MailSetup, translate: Translate) -> Finding:
    spf, include, host = facts.spf, find_include(setup.host), setup.host
    if not spf.records:
        own = translate("v=spf1 ip4:您的出口地址 ~all", "v=spf1 ip4:YOUR.ADDRESS ~all")
        record = f"v=spf1 include:{include} ~all" if include else own
        remedy = translate(
            f"在 {facts.domain} 添加 TXT 记录：{record}", f"Add a TXT record at {facts.domain}: {record}"
        )
        return Finding("SPF", translate("没有记录", "no record"), remedy)
    if spf.fault:
        return _describe_spf_fault(spf.fault, translate)
    record = spf.records[0]
    if spf.end == "+all":
        remedy = translate("改为 ~all 或 -all。", "End it with ~all or -all.")
        return Finding("SPF", translate("+all 放行任何人", "+all lets any server send"), remedy)
    if include and f":{include}" not in record and not facts.spf_covers_server:
        state = translate(f"未包含 {host} 的发信地址", f"does not include the addresses that {host} sends from")
        return Finding("SPF", state, translate(f"在记录中加入 include:{include}。", f"Add include:{include} to it."))
    if not include and host and not facts.server.are_private and not facts.spf_covers_server:
        state = translate(f"{record}；{host} 的地址不在其中", f"{record}; the address of {host} is not in it")
        remedy = translate(f"若 {host} 直接投递，加入它的地址。", f"If {host} delivers mail itself, add its address.")
        return Finding("SPF", state, remedy)
    return Finding("SPF", record)


def _describe_spf_fault(fault: str, translate: Translate) -> Finding:
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
    return Finding("SPF", state, remedy)


def _describe_dkim(facts: DomainFacts, setup: MailSetup, translate: Translate) -> list[Finding]:
    if not setup.keys:
        state = translate("iMSG 不签名；邮件服务商可能代签", "iMSG does not sign; the mail provider may")
        remedy = translate(
            "在服务商处开启 DKIM，或运行 imsg dkim new 自行签名；用 --selector 可查服务商的记录。",
            "Switch DKIM on at the provider, or sign by `imsg dkim new`; --selector checks the provider's record.",
        )
        return [Finding("DKIM", state, remedy)]
    expected = dict(setup.keys)
    findings = [
        _know(_describe_key(record, expected[record.selector], facts.domain, translate), record.unanswered, translate)
        for record in facts.dkim
    ]
    kinds = {record.kind for record in facts.dkim if record.public}
    if kinds and RSA not in kinds:
        state = translate("只有 ed25519 密钥，Gmail 等收件方不检查它", "ed25519 alone, which Gmail and others ignore")
        remedy = translate(
            "再加一把 RSA 密钥：imsg dkim new 会同时生成两种。", "Add an RSA key: `imsg dkim new` makes both kinds."
        )
        findings.append(Finding("DKIM", state, remedy))
    return findings


def _describe_key(record: DkimRecord, expected: str, domain: str, translate: Translate) -> Finding:
    """Compare a key's record with the key that signs; `expected` is empty where the provider signs."""
    part = f"DKIM {record.selector}"
    if record.public is None:
        at = f"{record.selector}._domainkey.{domain}"
        remedy = translate(
            f"在 {at} 添加 imsg dkim new 给出的 TXT 记录。", f"Add the TXT record of `imsg dkim new` at {at}."
        )
        return Finding(part, translate("没有记录", "no record"), remedy)
    if not record.public:
        state = translate("密钥已吊销（p= 为空）", "the key is revoked (empty p=)")
        return Finding(part, state, translate("换一把密钥。", "Make a new key."))
    if not expected:
        return Finding(part, translate("记录存在", "the record exists"))
    if expected == record.public:
        return Finding(part, translate("与密钥相符", "fits the key"))
    remedy = translate(
        "更正记录或密钥文件；不符的签名比没有更糟。",
        "Correct the record or the key file: a wrong signature is worse than none.",
    )
    return Finding(part, translate("与签名的密钥不符", "does not fit the key that signs"), remedy)


def _describe_dmarc(facts: DomainFacts, translate: Translate) -> Finding:
    dmarc = facts.dmarc
    if not dmarc.policy:
        remedy = translate(
            f"在 _dmarc.{facts.domain} 添加 TXT 记录：v=DMARC1; p=none; rua=mailto:您的邮箱",
            f"Add a TXT record at _dmarc.{facts.domain}: v=DMARC1; p=none; rua=mailto:YOU",
        )
        return Finding("DMARC", translate("没有记录", "no record"), remedy)
    return Finding("DMARC", f"p={dmarc.policy} ({dmarc.at})")


def _describe_ptr(facts: DomainFacts, setup: MailSetup, translate: Translate) -> Finding:
    rows = facts.server.rows
    if not rows:
        name = variable("smtp", "host")
        state = translate("服务器的域名没有地址", "the server's name has no address")
        return Finding("PTR", state, translate(f"更正 {name}。", f"Correct {name}."))
    if facts.server.are_private:
        return Finding(
            "PTR",
            translate(
                "服务器在内网，无法得知其出口地址",
                "the server is in a private network; the address that it sends from is not known",
            ),
        )
    state = ", ".join(f"{row.address} {row.name or '-'}" for row in rows)
    if any(row.resolves_back for row in rows) or find_include(setup.host) is not None:
        return Finding("PTR", state)
    remedy = translate(
        "若这台服务器直接投递，请向主机商申请反向解析，并让该名字解析回来。",
        "If this server delivers mail itself, have its hosting provider enter a name that resolves back to it.",
    )
    return Finding("PTR", state, remedy)


def find_include(host: str) -> str | None:
    """Return what SPF must include for mail sent by a host; None for a host of no known provider."""
    for endings, include in INCLUDES:
        if any(host == ending or host.endswith(f".{ending}") for ending in endings):
            return include
    return None


def describe_bounce_domain(bounces: BounceFacts, sender: DomainFacts, translate: Translate) -> list[Finding]:
    """Return a finding for each record of a bounce domain, beside the records of the sender's domain."""
    spf = _know(_describe_bounce_spf(bounces, sender, translate), bounces.spf.unanswered, translate)
    return [describe_bounce_mx(bounces.mx, translate), spf]


def _describe_bounce_spf(bounces: BounceFacts, sender: DomainFacts, translate: Translate) -> Finding:
    part = f"SPF {bounces.domain}"
    if bounces.spf.is_valid and bounces.spf.end != "+all":
        return Finding(part, bounces.spf.records[0] + _describe_alignment(bounces.domain, sender, translate))
    record = next(iter(sender.spf.records), "v=spf1 … ~all")
    state = (
        translate("没有记录", "no record") if not bounces.spf.records else translate("记录无效", "the record is void")
    )
    remedy = translate(
        f"收件方查的是信封域名的 SPF：在 {bounces.domain} 添加与 {sender.domain} 相同的 TXT 记录：{record}",
        f"Receivers check the envelope's domain: give {bounces.domain} the TXT record of {sender.domain}: {record}",
    )
    return Finding(part, state, remedy)


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


def find_bounce_domains(smtp: imsg_smtp.main.Smtp | None) -> list[str]:
    """Return the domains that the servers' bounces are sent to, each once."""
    if smtp is None:
        return []
    domains = (smtp.bounce_domain_of(name) for name in smtp.all_servers)
    return list(dict.fromkeys(domain for domain in domains if domain))


def describe_way_back(name: str, smtp: imsg_smtp.main.Smtp, translate: Translate) -> Finding:
    """Return how bounces of a server's mail find their messages."""
    part = translate("退信 ", "bounces ") + name
    way = imsg_smtp.main.find_bounce_path(smtp, name)
    domain_name = imsg_smtp.main.variable_of(name, "bounce_domain")
    mailbox_name = f"{imsg_smtp.main.variable_of(name, 'bounce_mailbox')}__HOST"
    if way.is_refused:
        example = f"={way.imap_host}" if way.imap_host else ""
        state = translate(
            f"{way.host} 不接受信封发件人 b+…@{way.domain}，会拒收全部邮件",
            f"{way.host} takes no envelope sender b+…@{way.domain}, and refuses all mail with it",
        )
        remedy = translate(
            f"设 {domain_name}=none，并设 {mailbox_name}{example}，由 iMSG 读发信账号自己的邮箱。",
            f"Set {domain_name}=none, and {mailbox_name}{example}: iMSG then reads the account's own mailbox.",
        )
        return Finding(part, state, remedy)
    if way.domain:
        return Finding(part, translate(f"回到 {way.domain}", f"come back to {way.domain}"))
    if way.mailbox:
        state = translate(f"在 {way.mailbox} 里按签名编号认领", f"are found in {way.mailbox} by their signed names")
        return Finding(part, state)
    hint_zh, hint = "", ""
    if way.imap_host:
        hint_zh = f"；设 {mailbox_name}={way.imap_host} 即可读发信账号自己的邮箱"
        hint = f"; with {mailbox_name}={way.imap_host} iMSG reads the account's own mailbox"
    state = translate(f"退信收不到，状态到 sent 为止{hint_zh}", f"have no way back: messages end at sent{hint}")
    return Finding(part, state, level="notice")


def judge_receivers(facts: DomainFacts, setup: MailSetup, translate: Translate) -> list[tuple[str, str]]:
    """Return what QQ, 163 and Gmail do with mail of this domain; docs/providers.md has the sources."""
    if facts.spf.unanswered or facts.dmarc.unanswered or any(record.unanswered for record in facts.dkim):
        unknown = translate("不知道：DNS 没有答复。", "not known: DNS gave no answer.")
        return [(receiver, unknown) for receiver in ("QQ", "163", "Gmail")]
    expected = dict(setup.keys)
    present = [record for record in facts.dkim if record.public]
    fitting = [record for record in present if expected.get(record.selector) in ("", record.public)]
    has_spf = facts.spf.is_valid and facts.spf.end != "+all" and _includes_server(facts, setup)
    is_enforced = facts.dmarc.policy in ("reject", "quarantine")
    has_dkim = bool(fitting)
    gmail_counts_dkim = any(record.kind == RSA for record in fitting) and len(fitting) == len(present)
    gmail = _judge_gmail(translate, has_spf=has_spf, has_dkim=gmail_counts_dkim, has_dmarc=bool(facts.dmarc.policy))
    return [
        ("QQ", _judge_qq(translate, has_spf=has_spf, has_dkim=has_dkim, is_enforced=is_enforced)),
        ("163", _judge_netease(translate, has_spf=has_spf, has_dkim=has_dkim, is_enforced=is_enforced)),
        ("Gmail", gmail),
    ]


def _includes_server(facts: DomainFacts, setup: MailSetup) -> bool:
    """Return whether SPF covers a known provider; the addresses that another server sends from are not known."""
    include = find_include(setup.host)
    if include is None:
        return True
    return any(f":{include}" in record for record in facts.spf.records) or facts.spf_covers_server


def _judge_qq(translate: Translate, *, has_spf: bool, has_dkim: bool, is_enforced: bool) -> str:
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


def _judge_netease(translate: Translate, *, has_spf: bool, has_dkim: bool, is_enforced: bool) -> str:
    if is_enforced and not has_spf and not has_dkim:
        return translate("拒收（550 MI:DMA）。", "refuses (550 MI:DMA).")
    if not has_spf:
        return translate("可能拒收（550 MI:SPF）。", "may refuse (550 MI:SPF).")
    return translate(
        "接收；频率超限时限频（451 MI:SFQ、550 MI:STC），iMSG 会稍后重试。",
        "takes it; throttles what comes too fast (451 MI:SFQ, 550 MI:STC), and iMSG tries again later.",
    )


def _judge_gmail(translate: Translate, *, has_spf: bool, has_dkim: bool, has_dmarc: bool) -> str:
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
