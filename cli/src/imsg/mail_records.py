"""What DNS says of the sender's domain, record by record, in words."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from imsg.mail_dns import DkimRecord, Facts
from imsg_runtime.settings import variable

RSA = "rsa"
"""The kind of key that every receiver checks; Gmail, for one, checks none by ed25519."""

INCLUDES = (
    (("exmail.qq.com", "qq.com"), "spf.mail.qq.com"),
    (("qiye.163.com", "ym.163.com", "163.com", "126.com"), "spf.163.com"),
    (("aliyun.com", "aliyuncs.com"), "spf1.dm.aliyun.com"),
    (("gmail.com", "google.com"), "_spf.google.com"),
    (("office365.com", "outlook.com"), "spf.protection.outlook.com"),
)
"""Ending of the server's name → what its mail is sent from, to be included in SPF; from the providers' help pages."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing looked at: how it stands, and what to do where it does not."""

    what: str
    state: str
    remedy: str = ""
    is_known: bool = True

    @property
    def mark(self) -> str:
        """Show at a glance how it stands."""
        return "✗" if self.remedy else "✓" if self.is_known else "?"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked at: the domain mail comes from, the server it goes by, and the keys that sign it."""

    domain: str
    host: str
    keys: Sequence[tuple[str, str]] = ()
    """Selector and public key, as its record has to say it."""


class Words:
    """Chinese or English."""

    def __init__(self, language: str) -> None:
        self._is_chinese = language == "zh"

    def __call__(self, zh: str, en: str) -> str:
        """Choose."""
        return zh if self._is_chinese else en


def tell(facts: Facts, asked: Asked, words: Words) -> list[Line]:
    """Say how each record stands."""
    lines = [
        _tell_mx(facts, words),
        _tell_spf(facts, asked, words),
        *_tell_dkim(facts, asked, words),
        _tell_dmarc(facts, words),
    ]
    lines += [_tell_ptr(facts, asked, words)] if asked.host else []
    unknown = words("不知道：DNS 没有答复", "not known: DNS gave no answer")
    lines = [
        Line(line.what, unknown, is_known=False) if is_unanswered(facts, line.what, asked) else line for line in lines
    ]
    if facts.unanswered:
        remedy = words("稍后再查，或用 --dns 指定一台服务器。", "Look again later, or name a server by --dns.")
        state = words("未答复：", "no answer: ") + ", ".join(facts.unanswered[:5])
        lines.append(Line("DNS", state, remedy))
    return lines


def is_unanswered(facts: Facts, what: str, asked: Asked) -> bool:
    """Tell whether a question was left open on which this line hangs: nothing may be said of it then."""
    about_dmarc = [one for one in facts.unanswered if one.startswith("TXT _dmarc.")]
    about_keys = [one for one in facts.unanswered if "._domainkey." in one]
    match what.split(" ", maxsplit=1)[0]:
        case "MX":
            return f"MX {facts.domain}" in facts.unanswered
        case "SPF":
            # Any other of its questions may be one that the record includes.
            rest = set(facts.unanswered) - {*about_dmarc, *about_keys, f"MX {facts.domain}"}
            return any(not one.startswith("PTR ") and not one.endswith(f" {asked.host}") for one in rest)
        case "DKIM":
            return any(one.startswith(f"TXT {what.rsplit(' ', maxsplit=1)[-1]}._domainkey.") for one in about_keys)
        case "DMARC":
            return bool(about_dmarc)
    return any(one.startswith("PTR ") or one.endswith(f" {asked.host}") for one in facts.unanswered)


def _tell_mx(facts: Facts, words: Words) -> Line:
    if facts.mx and not facts.is_null_mx:
        return Line("MX", ", ".join(facts.mx[:3]))
    state = words("该域名收不了信", "the domain takes no mail")
    remedy = words(
        f"为 {facts.domain} 添加 MX 记录，否则退信与回复无处可去，一些收件方也会因此拒收。",
        f"Give {facts.domain} an MX record: bounces and replies are lost without, and some receivers refuse.",
    )
    return Line("MX", state, remedy)


def _tell_spf(facts: Facts, asked: Asked, words: Words) -> Line:
    spf, include = facts.spf, name_include(asked.host)
    wanted = (
        f"v=spf1 include:{include} ~all"
        if include
        else words("v=spf1 ip4:您的出口地址 ~all", "v=spf1 ip4:YOUR.ADDRESS ~all")
    )
    if not spf.records:
        return Line(
            "SPF",
            words("没有记录", "no record"),
            words(f"在 {facts.domain} 添加 TXT 记录：{wanted}", f"Add a TXT record at {facts.domain}: {wanted}"),
        )
    if spf.fault:
        return _tell_spf_fault(spf.fault, words)
    if spf.end == "+all":
        return Line(
            "SPF",
            words("+all 放行任何人", "+all lets anybody pass"),
            words("改为 ~all 或 -all。", "End it with ~all or -all."),
        )
    if include and f":{include}" not in spf.records[0] and not covers_host(facts):
        return Line(
            "SPF",
            words(f"未包含 {asked.host} 的发信地址", f"does not include what {asked.host} sends from"),
            words(f"在记录中加入 include:{include}。", f"Add include:{include} to it."),
        )
    if not include and asked.host and not _is_private(facts) and not covers_host(facts):
        state = words(f"{spf.records[0]}；{asked.host} 的地址不在其中", f"{spf.records[0]}; {asked.host} is not in it")
        return Line(
            "SPF",
            state,
            words(f"若 {asked.host} 直接投递，加入它的地址。", f"Where {asked.host} delivers itself, add its address."),
        )
    return Line("SPF", spf.records[0])


def _tell_spf_fault(fault: str, words: Words) -> Line:
    if fault == "several":
        return Line(
            "SPF",
            words("有多条记录，等于没有", "several records, which count as none"),
            words("合并为一条。", "Join them into one."),
        )
    if fault == "lookups":
        return Line(
            "SPF",
            words("查询超过 10 次，等于没有", "more than 10 look-ups, which counts as none"),
            words("减少 include。", "Include less."),
        )
    name = fault.removeprefix("include ")
    return Line(
        "SPF",
        words(f"引用的 {name} 没有 SPF", f"{name}, which it includes, has none"),
        words("更正或删除它。", "Correct or remove it."),
    )


def _tell_dkim(facts: Facts, asked: Asked, words: Words) -> list[Line]:
    if not asked.keys:
        state = words("iMSG 不签名；邮件服务商可能代签", "iMSG does not sign; the mail provider may")
        remedy = words(
            "在服务商处开启 DKIM，或运行 imsg dkim new 自行签名；用 --selector 可查服务商的记录。",
            "Switch DKIM on at the provider, or sign by `imsg dkim new`; --selector looks at the provider's record.",
        )
        return [Line("DKIM", state, remedy)]
    expected = dict(asked.keys)
    lines = [_tell_dkim_record(record, expected[record.selector], facts.domain, words) for record in facts.dkim]
    kinds = {record.kind for record in facts.dkim if record.public}
    if kinds and RSA not in kinds:
        state = words("只有 ed25519 密钥，Gmail 等收件方不检查它", "ed25519 alone, which Gmail and others do not check")
        remedy = words(
            "再加一把 RSA 密钥：imsg dkim new 会同时生成两种。", "Add an RSA key: `imsg dkim new` makes both kinds."
        )
        lines.append(Line("DKIM", state, remedy))
    return lines


def _tell_dkim_record(record: DkimRecord, expected: str, domain: str, words: Words) -> Line:
    """Tell how the record of one key is; `expected` is the key that signs, empty where it is not ours."""
    what = f"DKIM {record.selector}"
    if record.public is None:
        at = f"{record.selector}._domainkey.{domain}"
        remedy = words(
            f"在 {at} 添加 imsg dkim new 给出的 TXT 记录。", f"Add the TXT record of `imsg dkim new` at {at}."
        )
        return Line(what, words("没有记录", "no record"), remedy)
    if not record.public:
        state = words("密钥已吊销（p= 为空）", "the key is revoked (empty p=)")
        return Line(what, state, words("换一把密钥。", "Make a new key."))
    if not expected:
        return Line(what, words("记录存在", "is there"))
    if expected == record.public:
        return Line(what, words("与密钥相符", "fits the key"))
    remedy = words(
        "更正记录或密钥文件；不符的签名比没有更糟。",
        "Correct the record or the key file: a wrong signature is worse than none.",
    )
    return Line(what, words("与签名所用的密钥不符", "is not of the key that signs"), remedy)


def _tell_dmarc(facts: Facts, words: Words) -> Line:
    dmarc = facts.dmarc
    if not dmarc.policy:
        remedy = words(
            f"在 _dmarc.{facts.domain} 添加 TXT 记录：v=DMARC1; p=none; rua=mailto:您的邮箱",
            f"Add a TXT record at _dmarc.{facts.domain}: v=DMARC1; p=none; rua=mailto:YOU",
        )
        return Line("DMARC", words("没有记录", "no record"), remedy)
    return Line("DMARC", f"p={dmarc.policy} ({dmarc.at})")


def _tell_ptr(facts: Facts, asked: Asked, words: Words) -> Line:
    what = "PTR"
    if not facts.addresses:
        return Line(
            what,
            words("服务器的域名没有地址", "the server's name has no address"),
            words(f"更正 {variable('smtp', 'host')}。", f"Correct {variable('smtp', 'host')}."),
        )
    if _is_private(facts):
        return Line(
            what,
            words(
                "服务器在内网，无法得知其出口地址",
                "the server is in a private network; where it sends from is not known",
            ),
        )
    shown = ", ".join(f"{one.address} {one.name or '-'}" for one in facts.addresses)
    if any(one.leads_back for one in facts.addresses) or name_include(asked.host) is not None:
        return Line(what, shown)
    remedy = words(
        "若这台服务器直接投递，请向主机商申请反向解析，并让该名字解析回来。",
        "Where this server delivers itself, have its provider enter a name that leads back.",
    )
    return Line(what, shown, remedy)


def name_include(host: str) -> str | None:
    """Name what SPF has to include for mail that goes by a host; None where it is no known provider's."""
    for endings, include in INCLUDES:
        if any(host == ending or host.endswith(f".{ending}") for ending in endings):
            return include
    return None


def covers_host(facts: Facts) -> bool:
    """Tell whether SPF lets one of the server's addresses send."""
    return any(facts.spf.covers(ipaddress.ip_address(one.address)) for one in facts.addresses)


def _is_private(facts: Facts) -> bool:
    return all(not ipaddress.ip_address(one.address).is_global for one in facts.addresses)
