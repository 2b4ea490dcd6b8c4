"""How bounces of the servers' mail find their messages."""

import imsg_smtp.main
from imsg.findings import Finding, Translate
from imsg_smtp.mail_verdicts import Verdict


def read_verdict(verdict: Verdict) -> Finding:
    """Return what is found of a DNS record."""
    return Finding(verdict.part, verdict.state, verdict.remedy, None if verdict.is_known else "notice")


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
