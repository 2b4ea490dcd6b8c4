"""What receivers will make of mail of the sender's domain, in words."""

from imsg.mail_dns import Facts
from imsg.mail_records import RSA, Asked, Words, covers_host, is_unanswered, name_include


def judge(facts: Facts, asked: Asked, words: Words) -> list[tuple[str, str]]:
    """Say what the receivers will do with mail of this domain (the rules stand in docs/providers.md)."""
    if any(is_unanswered(facts, what, asked) for what in ("SPF", "DMARC", *(f"DKIM {key}" for key, _ in asked.keys))):
        unknown = words("不知道：DNS 没有答复。", "not known: DNS gave no answer.")
        return [(receiver, unknown) for receiver in ("QQ", "163", "Gmail")]
    has_spf = facts.spf.is_sound and facts.spf.end != "+all" and _spf_reaches(facts, asked)
    expected = dict(asked.keys)
    sound = [record for record in facts.dkim if record.public and expected.get(record.selector) in ("", record.public)]
    has_dkim, has_rsa = bool(sound), any(record.kind == RSA for record in sound)
    wrong = any(record.public and expected.get(record.selector) not in ("", record.public) for record in facts.dkim)
    enforced = facts.dmarc.policy in ("reject", "quarantine")
    return [
        ("QQ", _judge_qq(words, has_spf=has_spf, has_dkim=has_dkim, enforced=enforced)),
        ("163", _judge_netease(words, has_spf=has_spf, has_dkim=has_dkim, enforced=enforced)),
        (
            "Gmail",
            _judge_gmail(words, has_spf=has_spf, has_dkim=has_rsa and not wrong, dmarc=bool(facts.dmarc.policy)),
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


def _spf_reaches(facts: Facts, asked: Asked) -> bool:
    include = name_include(asked.host)
    if include:
        return any(f":{include}" in record for record in facts.spf.records) or covers_host(facts)
    return True  # where another server sends from is not known
