"""The replies that mean an opt-out or an opt-in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_sms.opt_out import is_opt_in, is_opt_out


@pytest.mark.parametrize(
    "text",
    ["退订", " TD ", "td", "ＴＤ", "T", "n", "R。", "“退订”", "回复TD", "回T", "退订谢谢", "拒收！", "Stop.", "T D"],
)
def test_a_word_of_opting_out_is_known_however_it_is_written(text: str) -> None:
    assert is_opt_out(text)


@pytest.mark.parametrize(
    "text",
    ["", "好的", "收到", "No", "1", "怎么退订？", "退订了还能再订吗", "TDK 样品收到了", "Not today", "谢谢，不退订"],
)
def test_a_person_who_replies_otherwise_still_gets_messages(text: str) -> None:
    assert not is_opt_out(text)


def test_the_words_may_be_ones_own() -> None:
    assert is_opt_out("0000", ["0000"])
    assert not is_opt_out("退订", ["0000"])


@given(st.text())
def test_any_text_is_one_or_the_other(text: str) -> None:
    assert is_opt_out(text) in (True, False)


@pytest.mark.parametrize("text", ["START", " start.", "Unstop", "恢复", "回复“恢复”", "恢复订阅！"])
def test_a_word_that_takes_it_back_is_known_however_it_is_written(text: str) -> None:
    assert is_opt_in(text)
    assert not is_opt_out(text)


@pytest.mark.parametrize("text", ["", "恢复了吗", "restart", "退订", "什么时候恢复？", "yes"])
def test_what_only_speaks_of_it_takes_nothing_back(text: str) -> None:
    assert not is_opt_in(text)
