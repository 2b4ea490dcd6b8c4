"""What a reply means."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_contract.results import Again, Blocked, Refused
from imsg_smtp.refusals import classify_before_mail
from imsg_smtp.replies import MAX_TEXT_CHARACTERS, Reply, classify, find_queue_id

SCOPE = "mail.example.com:587"


@pytest.mark.parametrize(
    ("code", "text", "label"),
    [
        (550, "5.1.1 no such user", "550 5.1.1"),
        (552, "5.3.4 too big", "552 5.3.4"),
        (552, "5.2.2 over quota", "552 5.2.2"),
        (554, "5.7.1 policy", "554 5.7.1"),
        (553, "no", "553"),
        (500, "", "500"),
    ],
)
def test_a_permanent_reply_refuses_the_message(code: int, text: str, label: str) -> None:
    result = classify(Reply.of(code, text), SCOPE)
    assert result == Refused("smtp", label, text or "The server gave no reason.")


@pytest.mark.parametrize(
    ("code", "text", "after_s"),
    [
        (450, "4.2.0 greylisted", 300),
        (451, "4.7.1 try again later", 300),
        (452, "4.3.1 no storage", 60),
        (452, "4.5.3 too many recipients", 60),
        (421, "4.4.2 closing", 60),
        (431, "what", 0),
        (454, "4.7.1 <x@example.com>: Relay access denied", 60),
    ],
)
def test_a_temporary_reply_is_tried_again_no_sooner_than_it_makes_sense(code: int, text: str, after_s: float) -> None:
    result = classify(Reply.of(code, text), SCOPE)
    assert isinstance(result, Again)
    assert result.after_s == after_s


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (454, "4.7.0 Too many login attempts"),
        (454, "4.7.0 TLS not available due to local problem"),
        (432, "4.7.12 A password transition is needed"),
        (530, "5.7.0 Authentication required"),
        (534, "5.7.9 Application-specific password required"),
        (535, "5.7.8 Username and Password not accepted"),
        (538, "5.7.11 Encryption required"),
    ],
)
def test_a_refused_log_in_blocks_the_server_and_marks_no_recipient(code: int, text: str) -> None:
    result = classify(Reply.of(code, text), SCOPE)
    assert isinstance(result, Blocked)
    assert result.scope == SCOPE
    assert result.detail == text
    assert result.after_s >= 60


@pytest.mark.parametrize("code", [-1, 0, 99, 250, 354, 600, 999])
def test_an_unknown_code_is_tried_again(code: int) -> None:
    assert isinstance(classify(Reply.of(code, "what?"), SCOPE), Again)


@pytest.mark.parametrize(("code", "text"), [(550, "4.2.1 mailbox busy"), (450, "5.7.1 greylisted, come back")])
def test_where_code_and_enhanced_code_contradict_each_other_the_message_is_tried_again(code: int, text: str) -> None:
    assert isinstance(classify(Reply.of(code, text), SCOPE), Again)


@pytest.mark.parametrize("text", ["no 5.1.1 here", "5.1 no", "5.1.1000 no", "3.1.1 no", "5.1.1x no"])
def test_an_enhanced_code_counts_only_where_it_begins_the_text(text: str) -> None:
    assert Reply.of(550, text).label == "550"


def test_a_text_that_is_no_utf8_can_be_kept_all_the_same() -> None:
    read = "5.1.1 用户不存在".encode("gb18030").decode("utf-8", "surrogateescape")
    reply = Reply.of(550, read)
    assert reply.label == "550 5.1.1"
    json.dumps(reply.text, ensure_ascii=False).encode()


def test_a_text_is_kept_in_one_line_of_bounded_length() -> None:
    reply = Reply.of(550, "5.1.1 one\n5.1.1 two\x00\x1b[31m" + "x" * 40_000)
    assert reply.text.startswith("5.1.1 one 5.1.1 two [31m")
    assert len(reply.text) == MAX_TEXT_CHARACTERS


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("2.0.0 Ok: queued as 4XyZ1k2", "4XyZ1k2"),
        ("OK id=1rABCD-000123-AB", "1rABCD-000123-AB"),
        ("2.0.0 3AP1xyz012345 Message accepted for delivery", "3AP1xyz012345"),
        ("2.6.0 <a@b> [InternalId=12, Hostname=x] Queued mail for delivery", "a@b"),
        ("Mail OK queued as smtp5,PykvCgB3,1700000000", "smtp5,PykvCgB3,1700000000"),
        ("2.0.0 OK", None),
        ("", None),
    ],
)
def test_the_name_in_the_servers_queue_is_found_in_the_wordings_of_common_servers(text: str, name: str | None) -> None:
    assert find_queue_id(Reply.of(250, text)) == name


@given(st.integers(-1, 9999), st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_reply_means_something_and_can_be_kept(code: int, text: str) -> None:
    reply = Reply.of(code, text)
    reply.text.encode()
    assert reply.text.isprintable()
    assert isinstance(classify(reply, SCOPE), Again | Refused | Blocked)
    assert isinstance(classify_before_mail(reply, SCOPE), Again | Blocked)
    assert find_queue_id(reply) is None or find_queue_id(reply)
