"""Reading raw mail: as its recipient sees it, and never an exception."""

import hashlib
from email import policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_sandbox.mail import read
from imsg_testing.sandbox import mail


@pytest.mark.parametrize("subject", ["hello", "开会通知", "很长的主题" * 40, "mixed 中文 and English", "=?not?encoded"])
def test_a_subject_reads_as_it_was_written(subject: str) -> None:
    assert read(mail(subject=subject).as_bytes(policy=policy.SMTP)).subject == subject


@pytest.mark.parametrize(
    "header", ["filename*=utf-8''%E6%8A%A5%E5%91%8A.txt", 'filename="=?utf-8?b?5oql5ZGKLnR4dA==?="']
)
def test_a_chinese_file_name_reads_in_both_of_its_forms(header: str) -> None:
    raw = f"From: a\r\nContent-Disposition: attachment; {header}\r\nContent-Type: text/plain\r\n\r\nx"

    (file,) = read(raw.encode()).attachments

    assert (file.filename, file.size) == ("报告.txt", 1)


def test_a_text_file_that_is_attached_is_no_body() -> None:
    message = mail(text="正文")
    message.add_attachment("附件", filename="a.txt")

    contents = read(message.as_bytes(policy=policy.SMTP))

    assert contents.text == "正文"
    assert [file.filename for file in contents.attachments] == ["a.txt"]


def test_a_mail_inside_a_mail_is_one_file() -> None:
    inner, outer = mail(subject="inner", text="里面"), mail(text="外面")
    outer.add_attachment(inner, filename="inner.eml")

    contents = read(outer.as_bytes())

    assert contents.text == "外面"
    (file,) = contents.attachments
    assert file.filename == "inner.eml"
    assert file.size > 0


def test_bytes_of_every_kind_survive() -> None:
    content = bytes(range(256)) * 10

    (file,) = read(mail(files={"a.bin": content}).as_bytes(policy=policy.SMTP)).attachments

    assert file.sha256 == hashlib.sha256(content).hexdigest()


@given(
    st.binary(max_size=300), st.sampled_from(["", "Content-Type: multipart/mixed; boundary=x", "Subject: =?x?q?a?="])
)
def test_nothing_that_arrives_makes_it_fail(body: bytes, header: str) -> None:
    read(header.encode() + b"\r\n" + body)


def test_a_mail_without_parts_shows_nothing() -> None:
    assert read(EmailMessage().as_bytes()).attachments == ()
