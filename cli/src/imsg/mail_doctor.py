"""`imsg doctor mail`: what DNS says of the sender's domain, and what receivers will make of it, in words."""

import asyncio
import ipaddress
import locale
from collections.abc import Sequence
from dataclasses import dataclass

import imsg_smtp.main
from imsg.mail_dns import Facts, Looker, find_facts
from imsg.output import say, say_table
from imsg_contract.wire import Again, Blocked
from imsg_runtime.settings import StartError, load, variable

WITHIN_S = 25.0
"""How long all of DNS may take: each answer has a bound of its own, and SPF asks one after another."""

SERVER_S = 5.0

BETWEEN_SERVERS = 25
"""The port of RFC 5321; who submits mail uses 465 or 587 (RFC 8314)."""

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
    try:
        async with asyncio.timeout(WITHIN_S):
            facts = await find_facts(asked.domain, asked.host, [selector for selector, _ in asked.keys], looker)
    except TimeoutError:
        remedy = words(
            "检查本机的 DNS，或用 --dns 指定一台服务器。", "See to this machine's DNS, or name a server by --dns."
        )
        return [*lines, Line("DNS", words("未在时限内答复", "no answer in time"), remedy)], []
    return lines + tell(facts, asked, words), judge(facts, asked, words)


def tell_server(name: str, smtp: imsg_smtp.main.MailServer, failure: Again | Blocked | None, words: Words) -> Line:
    """Say whether the server takes us."""
    where = f"{smtp.host}:{smtp.server_port}"
    what = words("邮件服务器 ", "mail server ") + name
    if failure is None:
        state = words(f"{where} 可用，加密方式 {smtp.protection}", f"{where} answers, security {smtp.protection}")
        return Line(what, state)
    remedy = words("核对地址、端口、加密方式与账号密码。", "Correct host, port, security, username and password.")
    if smtp.server_port == BETWEEN_SERVERS and isinstance(failure, Again):
        remedy = words(
            "多数云主机封禁 25 端口：改用 465（SECURITY=tls）或 587（SECURITY=starttls）。",
            "Most clouds close port 25: use 465 (SECURITY=tls) or 587 (SECURITY=starttls).",
        )
    if isinstance(failure, Blocked) and failure.code == "wrong_security":
        remedy = words(
            f"修改 {variable('smtp', 'security')} 或 {variable('smtp', 'port')}：465 配 tls，587 配 starttls。",
            f"Change {variable('smtp', 'security')} or {variable('smtp', 'port')}: 465 is for tls, 587 for starttls.",
        )
    return Line(what, failure.detail, remedy)


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
        Line(line.what, unknown, is_known=False) if _is_unanswered(facts, line.what, asked) else line for line in lines
    ]
    if facts.unanswered:
        remedy = words("稍后再查，或用 --dns 指定一台服务器。", "Look again later, or name a server by --dns.")
        state = words("未答复：", "no answer: ") + ", ".join(facts.unanswered[:5])
        lines.append(Line("DNS", state, remedy))
    return lines


def _is_unanswered(facts: Facts, what: str, asked: Asked) -> bool:
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


def _tell_spf(facts: Facts, asked: Asked, words: Words) -> Line:  # noqa: PLR0911  a fault each
    spf, include = facts.spf, _include(asked.host)
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
    if spf.fault == "several":
        return Line(
            "SPF",
            words("有多条记录，等于没有", "several records, which count as none"),
            words("合并为一条。", "Join them into one."),
        )
    if spf.fault == "lookups":
        return Line(
            "SPF",
            words("查询超过 10 次，等于没有", "more than 10 look-ups, which counts as none"),
            words("减少 include。", "Include less."),
        )
    if spf.fault:
        name = spf.fault.removeprefix("include ")
        return Line(
            "SPF",
            words(f"引用的 {name} 没有 SPF", f"{name}, which it includes, has none"),
            words("更正或删除它。", "Correct or remove it."),
        )
    if spf.end == "+all":
        return Line(
            "SPF",
            words("+all 放行任何人", "+all lets anybody pass"),
            words("改为 ~all 或 -all。", "End it with ~all or -all."),
        )
    if include and f":{include}" not in spf.records[0] and not _covers_host(facts):
        return Line(
            "SPF",
            words(f"未包含 {asked.host} 的发信地址", f"does not include what {asked.host} sends from"),
            words(f"在记录中加入 include:{include}。", f"Add include:{include} to it."),
        )
    if not include and asked.host and not _is_private(facts) and not _covers_host(facts):
        state = words(f"{spf.records[0]}；{asked.host} 的地址不在其中", f"{spf.records[0]}; {asked.host} is not in it")
        return Line(
            "SPF",
            state,
            words(f"若 {asked.host} 直接投递，加入它的地址。", f"Where {asked.host} delivers itself, add its address."),
        )
    return Line("SPF", spf.records[0])


def _tell_dkim(facts: Facts, asked: Asked, words: Words) -> list[Line]:
    if not asked.keys:
        state = words("iMSG 不签名；邮件服务商可能代签", "iMSG does not sign; the mail provider may")
        remedy = words(
            "在服务商处开启 DKIM，或运行 imsg dkim new 自行签名；用 --selector 可查服务商的记录。",
            "Switch DKIM on at the provider, or sign by `imsg dkim new`; --selector looks at the provider's record.",
        )
        return [Line("DKIM", state, remedy)]
    expected = dict(asked.keys)
    lines = []
    for record in facts.dkim:
        what, at = f"DKIM {record.selector}", f"{record.selector}._domainkey.{facts.domain}"
        if record.public is None:
            lines.append(
                Line(
                    what,
                    words("没有记录", "no record"),
                    words(
                        f"在 {at} 添加 imsg dkim new 给出的 TXT 记录。",
                        f"Add the TXT record of `imsg dkim new` at {at}.",
                    ),
                )
            )
        elif not record.public:
            lines.append(
                Line(
                    what,
                    words("密钥已吊销（p= 为空）", "the key is revoked (empty p=)"),
                    words("换一把密钥。", "Make a new key."),
                )
            )
        elif expected[record.selector] and expected[record.selector] != record.public:
            lines.append(
                Line(
                    what,
                    words("与签名所用的密钥不符", "is not of the key that signs"),
                    words(
                        "更正记录或密钥文件；不符的签名比没有更糟。",
                        "Correct the record or the key file: a wrong signature is worse than none.",
                    ),
                )
            )
        else:
            lines.append(
                Line(
                    what,
                    words("记录存在", "is there")
                    if not expected[record.selector]
                    else words("与密钥相符", "fits the key"),
                )
            )
    return lines


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
    if any(one.leads_back for one in facts.addresses) or _include(asked.host) is not None:
        return Line(what, shown)
    remedy = words(
        "若这台服务器直接投递，请向主机商申请反向解析，并让该名字解析回来。",
        "Where this server delivers itself, have its provider enter a name that leads back.",
    )
    return Line(what, shown, remedy)


def judge(facts: Facts, asked: Asked, words: Words) -> list[tuple[str, str]]:
    """Say what the receivers will do with mail of this domain (the rules stand in docs/providers.md)."""
    if any(_is_unanswered(facts, what, asked) for what in ("SPF", "DMARC", *(f"DKIM {key}" for key, _ in asked.keys))):
        unknown = words("不知道：DNS 没有答复。", "not known: DNS gave no answer.")
        return [(receiver, unknown) for receiver in ("QQ", "163", "Gmail")]
    has_spf = facts.spf.is_sound and facts.spf.end != "+all" and _spf_reaches(facts, asked)
    expected = dict(asked.keys)
    has_dkim = any(record.public and expected.get(record.selector) in ("", record.public) for record in facts.dkim)
    wrong = any(record.public and expected.get(record.selector) not in ("", record.public) for record in facts.dkim)
    enforced = facts.dmarc.policy in ("reject", "quarantine")
    return [
        ("QQ", _judge_qq(words, has_spf=has_spf, has_dkim=has_dkim, enforced=enforced)),
        ("163", _judge_netease(words, has_spf=has_spf, has_dkim=has_dkim, enforced=enforced)),
        (
            "Gmail",
            _judge_gmail(words, has_spf=has_spf, has_dkim=has_dkim and not wrong, dmarc=bool(facts.dmarc.policy)),
        ),
    ]


def _judge_qq(words: Words, *, has_spf: bool, has_dkim: bool, enforced: bool) -> str:
    if not has_spf and not has_dkim:
        if enforced:
            return words("拒收（550 DMARC check failed）。", "refuses (550 DMARC check failed).")
        return words(
            "多半进垃圾箱，量大时拒收或限频（550）。",
            "mostly puts it into spam; much of it is refused or throttled (550).",
        )
    if not has_spf:
        return words(
            "接收，但没有 SPF 时信誉低，容易限频。",
            "takes it; without SPF its reputation is low, and it is throttled soon.",
        )
    return words(
        "接收；频率超限时以 550 限频，iMSG 会稍后重试。",
        "takes it; too fast, it is throttled by a 550, and iMSG tries again later.",
    )


def _judge_netease(words: Words, *, has_spf: bool, has_dkim: bool, enforced: bool) -> str:
    if enforced and not has_spf and not has_dkim:
        return words("拒收（550 MI:DMA）。", "refuses (550 MI:DMA).")
    if not has_spf:
        return words("可能拒收（550 MI:SPF）。", "may refuse (550 MI:SPF).")
    return words(
        "接收；频率超限时限频（451 MI:SFQ、550 MI:STC），iMSG 会稍后重试。",
        "takes it; too fast, it is throttled (451 MI:SFQ, 550 MI:STC), and iMSG tries again later.",
    )


def _judge_gmail(words: Words, *, has_spf: bool, has_dkim: bool, dmarc: bool) -> str:
    if not has_spf and not has_dkim:
        return words(
            "拒收（550 5.7.26）：SPF 与 DKIM 至少要有一个。", "refuses (550 5.7.26): it wants SPF or DKIM at least."
        )
    if not (has_spf and has_dkim and dmarc):
        return words(
            "每天不足 5,000 封时接收；达到后要求 SPF、DKIM、DMARC 三者齐全，否则拒收。",
            "takes it below 5,000 a day; from there on it wants SPF, DKIM and DMARC, all three, and refuses else.",
        )
    return words(
        "接收，量大也可；推广邮件还须一键退订。",
        "takes it, large volumes too; promotional mail needs one-click unsubscribe as well.",
    )


def _include(host: str) -> str | None:
    for endings, include in INCLUDES:
        if any(host == ending or host.endswith(f".{ending}") for ending in endings):
            return include
    return None


def _spf_reaches(facts: Facts, asked: Asked) -> bool:
    include = _include(asked.host)
    if include:
        return any(f":{include}" in record for record in facts.spf.records) or _covers_host(facts)
    return True  # where another server sends from is not known


def _covers_host(facts: Facts) -> bool:
    return any(facts.spf.covers(ipaddress.ip_address(one.address)) for one in facts.addresses)


def _is_private(facts: Facts) -> bool:
    return all(not ipaddress.ip_address(one.address).is_global for one in facts.addresses)
