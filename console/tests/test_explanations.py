"""Providers' codes in plain words."""

import pytest

from imsg_console.explanations import OTHERWISE, TABLES, describe_meaning, explain, general
from imsg_console.texts import Texts

UNKNOWN = Texts("zh")("explanations.otherwise.failed")


@pytest.mark.parametrize(
    ("method", "code", "words"),
    [
        ("smtp", "550 5.1.1", "没有这个收件人，邮箱不存在。"),
        ("smtp", "599 5.1.1", "没有这个收件人，邮箱不存在。"),
        ("smtp", "550 5.9.9", "邮件服务器拒收：收件人不存在或不允许。"),
        ("smtp", "599", "邮件服务器拒收。"),
        ("smtp", "too_large", "邮件超过邮件服务器允许的大小。"),
        ("sms", "Throttling.User", "发得太快，超出短信服务商的频次限制。"),
        ("sms", "http_503", "服务商的服务器出错。"),
        ("wechat", "43004", "收件人没有关注公众号。"),
        ("wechat", "dead_letter", "处理这条消息时程序连续出错三次，已搁置为死信。"),
        ("sms", "nobody.knows.it", UNKNOWN),
        ("pigeon", "550", UNKNOWN),
        ("smtp", None, UNKNOWN),
    ],
)
def test_a_code_is_explained_by_the_most_exact_entry(method: str, code: str | None, words: str) -> None:
    said = explain(Texts("zh"), method, "failed", code)
    assert said is not None
    assert said.meaning == words


@pytest.mark.parametrize("status", ["queued", "sent", "delivered"])
def test_what_went_well_needs_no_reason(status: str) -> None:
    assert explain(Texts("en"), "smtp", status, "250") is None


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("retrying", "Nothing to do: it is tried again by itself."),
        ("failed", "Resend it later."),
        ("uncertain", "Ask the recipient whether it arrived, and resend it only if not."),
    ],
)
def test_the_next_step_depends_on_whether_it_goes_on_by_itself(status: str, remedy: str) -> None:
    said = explain(Texts("en"), "smtp", status, "disconnected")
    assert said is not None
    assert said.remedy == remedy


def test_every_entry_speaks_both_languages_and_leads_to_a_next_step() -> None:
    for table, codes in {**TABLES, "general": general.CODES, "otherwise": OTHERWISE}.items():
        for code, remedy in codes.items():
            zh, en = (describe_meaning(Texts(language), f"{table}.{code}") for language in ("zh", "en"))
            assert zh.endswith("。")
            assert en.endswith(".")
            assert not zh.isascii()
            assert en.isascii()
            assert Texts("zh")(f"explanations.remedy.{remedy}")
