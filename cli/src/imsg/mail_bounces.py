"""What DNS has to say of a domain for bounces: where they come in, and who may send by its name (docs/mail.md)."""

from collections.abc import Sequence
from dataclasses import dataclass

import imsg_smtp.main
from imsg.mail_dns import Facts, Looker, Spf, find_spf
from imsg.mail_records import Line, Words


@dataclass(frozen=True, slots=True)
class BounceFacts:
    """All that was found of one; `is_answered` where every question was."""

    domain: str
    mx: Sequence[str]
    spf: Spf
    is_answered: bool


def find_bounce_domains(smtp: imsg_smtp.main.Smtp | None) -> list[str]:
    """Name the domains that servers' bounces go to."""
    if smtp is None:
        return []
    domains = (smtp.bounce_domain_of(name) for name in smtp.all_servers)
    return list(dict.fromkeys(domain for domain in domains if domain))


async def find_bounce_facts(domain: str, looker: Looker) -> BounceFacts:
    """Look it up."""
    before = len(looker.unanswered)
    mx, spf = await looker.ask(domain, "MX"), await find_spf(domain, looker)
    return BounceFacts(domain, mx, spf, len(looker.unanswered) == before)


def tell_way_back(name: str, smtp: imsg_smtp.main.Smtp, words: Words) -> Line:
    """Say how bounces of a server's mail find their messages."""
    what = words("退信 ", "bounces ") + name
    way = imsg_smtp.main.find_way_back(smtp, name)
    domain_name = imsg_smtp.main.variable_of(name, "bounce_domain")
    mailbox_name = f"{imsg_smtp.main.variable_of(name, 'bounce_mailbox')}__HOST"
    if way.is_refused:
        return Line(
            what,
            words(
                f"{way.host} 不接受信封发件人 b+…@{way.domain}，会拒收全部邮件",
                f"{way.host} takes no envelope sender b+…@{way.domain}, and refuses all mail for it",
            ),
            words(
                f"设 {domain_name}=none，并设 {mailbox_name}{_example(way.imap_host)}，由 iMSG 读发信账号自己的邮箱。",
                f"Set {domain_name}=none, and {mailbox_name}{_example(way.imap_host)} to have its mailbox read.",
            ),
        )
    if way.domain:
        return Line(what, words(f"回到 {way.domain}", f"come back to {way.domain}"))
    if way.mailbox:
        return Line(
            what,
            words(f"在 {way.mailbox} 里按签名认领", f"are found in {way.mailbox} by the signed names they return"),
        )
    hint_zh, hint = "", ""
    if way.imap_host:
        hint_zh = f"；设 {mailbox_name}={way.imap_host} 即可读发信账号自己的邮箱"
        hint = f"; {mailbox_name}={way.imap_host} has the account's own mailbox read"
    return Line(
        what,
        words(f"没有回来的路，状态到 sent 为止{hint_zh}", f"have no way back, messages end at sent{hint}"),
        is_known=False,
    )


def _example(host: str) -> str:
    return f"={host}" if host else ""


def tell_bounces(found: BounceFacts, sender: Facts, words: Words) -> list[Line]:
    """Say how its records stand, beside those of the domain that mail comes from."""
    spf = f"SPF {found.domain}"
    if not found.is_answered:
        unknown = words("不知道：DNS 没有答复", "not known: DNS gave no answer")
        return [Line(f"MX {found.domain}", unknown, is_known=False), Line(spf, unknown, is_known=False)]
    return [tell_mx(found.domain, found.mx, words), _tell_spf(spf, found, sender, words)]


def tell_mx(domain: str, mx: Sequence[str], words: Words) -> Line:
    """Say where mail for a domain goes."""
    if mx and list(mx) != ["."]:
        return Line(f"MX {domain}", ", ".join(mx[:3]))
    return Line(
        f"MX {domain}",
        words("退信域名收不了信", "the domain for bounces takes no mail"),
        words(
            f"为 {domain} 添加 MX 记录，指向收退信的地方；没有它，退信全部丢失，一些收件方也会拒收。",
            f"Give {domain} an MX record that leads to where bounces come in: without, all are lost, and some "
            "receivers refuse the mail.",
        ),
    )


def _tell_spf(what: str, found: BounceFacts, sender: Facts, words: Words) -> Line:
    if found.spf.is_sound and found.spf.end != "+all":
        return Line(what, found.spf.records[0] + _tell_alignment(found.domain, sender, words))
    wanted = next(iter(sender.spf.records), "v=spf1 … ~all")
    state = words("没有记录", "no record") if not found.spf.records else words("记录无效", "the record is void")
    return Line(
        what,
        state,
        words(
            f"收件方查的是信封域名的 SPF：在 {found.domain} 添加与 {sender.domain} 相同的 TXT 记录：{wanted}",
            f"Receivers check the envelope's domain: give {found.domain} the TXT record of {sender.domain}: {wanted}",
        ),
    )


def _tell_alignment(domain: str, sender: Facts, words: Words) -> str:
    """Say where DMARC won't count this SPF for the sender's domain (RFC 7489, 3.1.2): then DKIM has to be there."""
    is_same = domain == sender.domain
    is_below = domain.endswith(f".{sender.domain}") or sender.domain.endswith(f".{domain}")
    if is_same or (is_below and not sender.dmarc.strict_spf):
        return ""
    return words(
        f"；对 {sender.domain} 的 DMARC 不算数，须有 DKIM",
        f"; DMARC of {sender.domain} does not count it, so DKIM has to be there",
    )
