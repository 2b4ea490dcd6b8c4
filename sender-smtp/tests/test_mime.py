"""A request as a mail, read back by the standard library's parser."""

import email
import email.policy
import hashlib
import re
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_smtp.mime import File, Mail, MailContent, render
from imsg_smtp.senders import Sender

REQUEST = "0192f0c4a7b17d3e8f00112233445566"
ACCEPTED_AT = datetime(2026, 11, 25, 8, 30, tzinfo=timezone(timedelta(hours=8)))
SENDER = Sender("天存", "noreply@example.com")


def mail(letter: MailContent, n: int = 0, address: str = "zhang@163.com", sender: Sender = SENDER) -> Mail:
    return render(letter, sender, REQUEST, ACCEPTED_AT).make_mail(n, address)


def undo_stuffing(made: Mail) -> bytes:
    """Return the mail without its dot-stuffing, as the receiving server stores it."""
    return made.head + made.body.replace(b"\r\n..", b"\r\n.")


def read(made: Mail) -> EmailMessage:
    message = email.message_from_bytes(undo_stuffing(made), policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    assert not any(part.defects for part in message.walk())
    return message


def body_text(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def read_attachments(message: EmailMessage) -> list[tuple[str | None, bytes]]:
    found = []
    for part in message.iter_attachments():
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        found.append((part.get_filename(), payload))
    return found


def assert_fit_for_the_wire(data: bytes) -> None:
    """Check for 7 bits and lines of at most 998 octets, each ended by CRLF and nothing else."""
    data.decode("ascii")
    assert data.endswith(b"\r\n")
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", data)
    assert max(map(len, data.split(b"\r\n"))) <= 998


@given(st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  hypothesis adds the zone
def test_a_date_is_written_as_the_library_does(at: datetime) -> None:
    made = render(MailContent("hello", "您好"), SENDER, REQUEST, at).head
    assert f"\r\nDate: {format_datetime(at)}\r\n".encode() in made


def test_a_plain_mail_holds_every_header_it_needs_once() -> None:
    message = read(mail(MailContent("hello", "您好"), n=7))
    assert message["To"] == "zhang@163.com"
    assert message["From"].addresses[0].display_name == "天存"
    assert message["From"].addresses[0].addr_spec == "noreply@example.com"
    assert message["Subject"] == "hello"
    assert message["Message-ID"] == f"<{REQUEST}-7@example.com>"
    assert message["Date"].datetime == ACCEPTED_AT
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["MIME-Version"] == "1.0"
    assert len(message.keys()) == len(set(message.keys()))
    assert message.get_content_type() == "text/plain"
    assert message.get_content() == "您好"


def test_a_mail_rendered_again_is_the_same_to_the_byte() -> None:
    letter = MailContent("会议", "下午两点半", "<p>下午两点半</p>", (File("议程.md", "text/markdown", b"# 1"),))
    assert mail(letter) == mail(letter)


def test_only_two_lines_differ_between_recipients_and_the_body_is_one_object() -> None:
    rendered = render(MailContent("hello", "您好"), SENDER, REQUEST, ACCEPTED_AT)
    one, other = rendered.make_mail(0, "a@example.com"), rendered.make_mail(1, "b@example.com")
    assert one.body is other.body
    differing = set(one.head.split(b"\r\n")) ^ set(other.head.split(b"\r\n"))
    assert {line.split(b":")[0] for line in differing} == {b"To", b"Message-ID"}


def test_text_and_html_are_alternatives_with_the_richer_last() -> None:
    message = read(mail(MailContent("hello", "您好", "<b>您好</b>")))
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert body_text(message, "plain") == "您好"
    assert body_text(message, "html") == "<b>您好</b>"


def test_html_without_text_stands_alone() -> None:
    message = read(mail(MailContent("hello", "", "<b>hi</b>")))
    assert message.get_content_type() == "text/html"


def test_attachments_come_back_byte_for_byte_under_their_names() -> None:
    every_byte = bytes(range(256)) * 1_001
    files = (
        File("会议纪要（第二版）.docx", "application/vnd.openxmlformats-officedocument", every_byte),
        File("hello.md", "text/markdown", "# 您好\r\n.\r\n.\n".encode()),
        File("空.txt", "text/plain", b""),
        File("latin.txt", "text/plain", b"\xe9\xff"),
    )
    message = read(mail(MailContent("带附件", "见附件", "<p>见附件</p>", files)))
    assert message.get_content_type() == "multipart/mixed"
    assert read_attachments(message) == [(file.filename, file.data) for file in files]
    assert body_text(message, "plain") == "见附件"
    assert body_text(message, "html") == "<p>见附件</p>"


@pytest.mark.parametrize(
    "kind", ["message/rfc822", "multipart/mixed", "nonsense", "", "text/plain\r\nX-Evil: 1", "a/b/c"]
)
def test_a_media_type_that_cannot_be_written_in_base64_becomes_plain_bytes(kind: str) -> None:
    message = read(mail(MailContent("x", "x", None, (File("a.bin", kind, b"abc"),))))
    (part,) = message.iter_attachments()
    assert part.get_content_type() == "application/octet-stream"
    assert read_attachments(message) == [("a.bin", b"abc")]
    assert "X-Evil" not in message


def test_a_file_name_of_255_chinese_characters_stays_within_the_line_limit() -> None:
    name = "会" * 250 + ".docx"
    made = mail(MailContent("x", "x", None, (File(name, "application/pdf", b"abc"),)))
    assert_fit_for_the_wire(undo_stuffing(made))
    assert read_attachments(read(made)) == [(name, b"abc")]


def test_a_path_in_a_file_name_cannot_get_through() -> None:
    made = mail(MailContent("x", "x", None, (File("../../etc/passwd", "text/plain", b"abc"),)))
    assert read_attachments(read(made)) == [(".._.._etc_passwd", b"abc")]


@pytest.mark.parametrize(
    "subject",
    [
        "hi\r\nBcc: evil@example.com",
        "hi\nX-Evil: 1",
        "hi\r\n\r\nbody",
        "hi\x00",
        "你好\r\nBcc: evil@example.com",
        "a\x85b",
    ],
)
def test_a_subject_cannot_bring_a_header_of_its_own(subject: str) -> None:
    message = read(mail(MailContent(subject, "x")))
    assert "Bcc" not in message
    assert "X-Evil" not in message
    assert message.get_content() == "x\r\n"


def test_dots_at_the_beginning_of_lines_are_doubled_once_for_all() -> None:
    made = mail(MailContent("x", ".\n..\n.end"))
    assert made.body == b"\r\n..\r\n...\r\n..end\r\n"
    assert read(made).get_content().splitlines() == [".", "..", ".end"]


def test_the_size_is_what_the_server_will_hold() -> None:
    made = mail(
        MailContent(".dots", ".\n.\n.", None, (File("a", "text/plain", b"x" * 1_000),)), address="a@example.com"
    )
    assert made.size == len(undo_stuffing(made))


def test_an_address_beyond_ascii_is_written_as_it_is() -> None:
    made = mail(MailContent("x", "x"), address="张三@xn--fsqu00a.xn--fiqs8s")
    assert made.needs_utf8
    assert "To: 张三@xn--fsqu00a.xn--fiqs8s\r\n".encode() in made.head
    assert not mail(MailContent("x", "x")).needs_utf8


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Tiancun",
        "Tiancun, Inc.",
        'say "hi" \\o/',
        "天存",
        "天存信息通知系统测试专用",
        "=?utf-8?b?eA==?=",
        "a  b ",
        "A" * 128,
    ],
)
def test_a_sender_is_shown_under_its_name(name: str) -> None:
    message = read(mail(MailContent("x", "x"), sender=Sender(name, "noreply@example.com")))
    (address,) = message["From"].addresses
    assert address.addr_spec == "noreply@example.com"
    assert address.display_name == name


def test_a_long_name_is_written_in_several_encoded_words() -> None:
    name = "天存" * 60
    made = mail(MailContent("x", "x"), sender=Sender(name, "noreply@example.com"))
    raw = email.message_from_bytes(undo_stuffing(made), policy=email.policy.compat32)["From"]
    assert str(make_header(decode_header(raw))) == f"{name} <noreply@example.com>"


def test_long_bodies_of_every_kind_keep_to_short_lines() -> None:
    for text in ("x" * 5_000, "您好" * 5_000, "a\n" * 5_000, "é" * 999):
        made = mail(MailContent("x" * 255, text, text, (File("a", "text/plain", text.encode()),)))
        assert_fit_for_the_wire(undo_stuffing(made))
        assert body_text(read(made), "plain") == text.replace("\n", "\r\n")


@pytest.mark.parametrize(
    "subject",
    [
        "Your invoice INV-2026-000123456789012345678901 is ready – 发票",
        "a" * 254 + "–",
        "a b " * 63 + "–",
        "a " * 127,
        " " * 254 + "a",
        "=" * 254 + "é",
    ],
)
def test_a_subject_of_many_words_is_rendered_at_once(subject: str) -> None:
    """The first of them held a sender's processor for good."""
    assert str(read(mail(MailContent(subject, "x")))["Subject"]) == subject


@pytest.mark.parametrize("subject", ["a", "a b", "Re: [1/2] a-b (c)", "a" * 255])
def test_a_subject_of_ascii_words_goes_out_as_it_is(subject: str) -> None:
    assert f"Subject: {subject}\r\n".encode() in mail(MailContent(subject, "x")).head


@pytest.mark.parametrize("subject", [" a", "a ", "a  b", "=?a", "a\u2003b", "é"])
def test_a_subject_that_folding_would_change_goes_out_in_encoded_words(subject: str) -> None:
    assert b"Subject: =?utf-8?b?" in mail(MailContent(subject, "x")).head


printable = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=255)


PIECES = [
    "INV-2026-000123456789",
    "a" * 60,
    "b ",
    "  ",
    " ",
    "=?utf-8?b?",
    "发票",
    "–",
    "فاتورة",
    "счёт",
    "😀",
    "é",
    "e\u0301",
    "\u200b",
    '"',
    "<",
]
mixed = st.lists(st.sampled_from(PIECES), max_size=40).map(lambda pieces: "".join(pieces)[:255])
"""Long runs of one script beside another, which letters drawn one by one hardly ever are."""


@given(subject=mixed, filename=mixed.filter(lambda text: text.strip(' "<')), name=mixed.map(lambda text: text[:128]))
def test_subjects_file_names_and_senders_in_mixed_scripts_come_back_as_they_were(
    subject: str, filename: str, name: str
) -> None:
    filename = filename.replace('"', "").replace("<", "")  # around a whole name Python's parser takes them off
    letter = MailContent(subject, "x", None, (File(filename, "text/plain", b"abc"),))
    made = mail(letter, sender=Sender(name, "noreply@example.com"))
    assert_fit_for_the_wire(undo_stuffing(made))
    message = read(made)
    assert str(message["Subject"]) == subject
    assert read_attachments(message) == [(filename.strip(), b"abc")]


@given(subject=printable)
def test_any_subject_comes_back_as_it_was(subject: str) -> None:
    made = mail(MailContent(subject, "x"))
    assert_fit_for_the_wire(undo_stuffing(made))
    assert all(len(line) <= 76 for line in made.head.split(b"\r\n") if line.startswith((b"Subject:", b" =?")))
    assert str(read(made)["Subject"]) == subject


@given(name=st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=255))
def test_any_file_name_comes_back_as_it_was(name: str) -> None:
    made = mail(MailContent("x", "x", None, (File(name, "text/plain", b"abc"),)))
    assert_fit_for_the_wire(undo_stuffing(made))
    assert read_attachments(read(made)) == [(name.strip(), b"abc")]  # the parser's own habit


@given(text=st.text(st.characters(exclude_categories=["Cs"])), html=st.none() | st.text(min_size=1))
def test_any_text_comes_back_as_it_was_but_for_its_line_ends(text: str, html: str | None) -> None:
    made = mail(MailContent("x", text, html, (File("a", "a/b", text.encode()),)))
    assert_fit_for_the_wire(undo_stuffing(made))
    message = read(made)
    if text or html is None:
        assert body_text(message, "plain") == re.sub(r"\r\n|\r|\n", "\r\n", text)
    assert read_attachments(message) == [("a", text.encode())]


def test_what_reaches_the_provider_is_named_by_a_digest_of_the_same_bytes() -> None:
    data = hashlib.sha256(b"seed").digest() * 100_000
    ((_, payload),) = read_attachments(
        read(mail(MailContent("x", "x", None, (File("大.bin", "application/zip", data),))))
    )
    assert hashlib.sha256(payload).hexdigest() == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", ["会议纪要.pdf", "会" * 100 + ".pdf", 'a "b" c.pdf'])
def test_a_file_name_that_is_not_simple_is_written_for_old_readers_too(name: str) -> None:
    letter = MailContent("x", "x", None, (File(name, "application/pdf", b"abc"),))
    rendered = render(letter, SENDER, REQUEST, ACCEPTED_AT)
    whole = rendered.make_mail(0, "a@example.com")
    message = email.message_from_bytes(whole.head + whole.body, policy=email.policy.compat32)
    assert isinstance(message, email.message.Message)
    part = message.get_payload()[1]  # type: ignore[index]
    assert isinstance(part, email.message.Message)
    shown = part.get_param("name")
    assert isinstance(shown, str)
    assert str(email.header.make_header(email.header.decode_header(shown))) == name
    assert part.get_filename() == name


def test_a_simple_file_name_is_written_once() -> None:
    letter = MailContent("x", "x", None, (File("a.pdf", "application/pdf", b"abc"),))
    body = render(letter, SENDER, REQUEST, ACCEPTED_AT).body
    assert body.count(b"a.pdf") == 1


def test_what_complaints_are_counted_by_stands_in_the_head() -> None:
    rendered = render(MailContent("x", "x", feedback_id="a:normal:imsg:acme1"), SENDER, REQUEST, ACCEPTED_AT)
    assert b"\r\nFeedback-ID: a:normal:imsg:acme1\r\n" in rendered.head
    assert b"Feedback-ID" not in render(MailContent("x", "x"), SENDER, REQUEST, ACCEPTED_AT).head


@pytest.mark.parametrize("name", ["张三", "Doe, Jane", 'The "Boss"', "Zhang San", "=?utf-8?b?eA==?=", "张" * 12])
def test_a_recipient_has_a_display_name(name: str) -> None:
    made = render(MailContent("s", "t"), SENDER, REQUEST, ACCEPTED_AT).make_mail(0, "a@example.com", name)
    (to,) = read(made)["to"].addresses
    assert (to.display_name, to.addr_spec) == (name, "a@example.com")
