"""DKIM signatures, held to the RFC's example and to another implementation."""

import base64
import re
from datetime import UTC, datetime
from pathlib import Path

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from imsg_smtp import dkim
from imsg_smtp.main import _make_signing
from imsg_smtp.mime import File, Mail, MailContent, render
from imsg_smtp.senders import Sender
from imsg_smtp.settings import Smtp

REQUEST = "0192f0c4a7b17d3e8f00112233445566"
AT = datetime(2026, 11, 25, 0, 30, tzinfo=UTC)
RSA = dkim.make_key("rsa")
ED25519 = dkim.make_key("ed25519")
BOTH = dkim.DomainSigners([dkim.Signer("example.com", "r1", RSA), dkim.Signer("example.com", "e1", ED25519)])
RECORDS = {
    b"r1._domainkey.example.com.": dkim.make_record(RSA).encode(),
    b"e1._domainkey.example.com.": dkim.make_record(ED25519).encode(),
}

EXAMPLE = (
    "From: Joe <joe@football.example.com>",
    "To: Suzie <suzie@shopping.example.net>",
    "Subject: =?utf-8?b?5rWL6K+V?=",
    "Date: Wed, 26 Nov 2025 09:00:00 +0000",
    "Message-ID: <0192f1c2@football.example.com>",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: base64",
    "List-Unsubscribe: <https://football.example.com/u/abc>",
    "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
)


def test_a_signature_by_ed25519_is_the_known_one() -> None:
    seed = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = Ed25519PrivateKey.from_private_bytes(seed)
    assert dkim.make_record(key) == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    signing = dkim.Signing([dkim.Signer("football.example.com", "brisbane", key)], b"5L2g5aW9Cg==\r\n", 1_764_147_600)
    header = signing(("\r\n".join(EXAMPLE) + "\r\n").encode()).decode()
    assert re.sub(r"\r\n ", " ", header).split("; b=")[0] == (
        "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=football.example.com; s=brisbane; t=1764147600; "
        "h=from:from:to:to:subject:subject:date:message-id:mime-version:content-type:content-transfer-encoding:"
        "list-unsubscribe:list-unsubscribe-post; bh=UNyff7JM1FxnSxPvolN6GGSEbsyrAFtxcmsswt2Gk3s="
    )
    assert re.sub(r"\s", "", header.split(" b=")[1]) == (
        "kG403+EegPHW27BhInJ7rbhXMDv83MOykV4PdjSc2mQ0kyUbQWz1q6mmyU+wNA6L+h2NfO/Ey06TTXE6aAQRAA=="
    )


def sign(letter: MailContent, recipient: str = "zhang@example.net") -> Mail:
    rendered = render(letter, Sender("天存", "noreply@example.com"), REQUEST, AT, BOTH)
    return rendered.make_mail(0, recipient)


def wire(mail: Mail) -> bytes:
    """Return the mail without its dot-stuffing."""
    return mail.head + mail.body.replace(b"\r\n..", b"\r\n.")


def verdicts(message: bytes) -> list[bool]:
    """Return what another implementation says of each signature, with our DNS records."""

    def dns(name: bytes, timeout: int = 5) -> bytes | None:
        del timeout
        return RECORDS.get(name)

    def holds(place: int) -> bool:
        try:
            return bool(dkimpy.DKIM(message).verify(idx=place, dnsfunc=dns))
        except dkimpy.ValidationError:  # how it says that the body was changed
            return False

    return [holds(place) for place in range(2)]


LETTERS = {
    "plain": MailContent("hello", "hello\n"),
    "Chinese": MailContent("会议通知" * 20, "下午两点半\n.\n"),
    "empty": MailContent("x", ""),
    "blanks and dots": MailContent("x", "a  b \t c  \n..\n. \n \n\n\n"),
    "html and files": MailContent("x", "x", "<p>x</p>", (File("会议纪要.txt", "text/plain", b"x" * 300_000),)),
}


@pytest.mark.parametrize("letter", LETTERS)
def test_another_implementation_verifies_both_signatures(letter: str) -> None:
    mail = sign(LETTERS[letter])
    assert mail.head.count(b"DKIM-Signature:") == 2
    assert verdicts(wire(mail)) == [True, True]
    assert mail.size == len(wire(mail))
    assert max(len(line) for line in mail.head.split(b"\r\n")) <= 998


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=300), st.text(max_size=300))
def test_the_signatures_of_any_mail_are_valid(subject: str, text: str) -> None:
    assert verdicts(wire(sign(MailContent(subject, text)))) == [True, True]


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole.replace(b"Subject: ", b"Subject: Re "),
        lambda whole: b"From: evil@example.org\r\n" + whole,
        lambda whole: b"Subject: evil\r\n" + whole,
        lambda whole: b"To: evil@example.org\r\n" + whole,
        lambda whole: whole + b"more\r\n",
    ],
)
def test_what_is_changed_or_added_on_the_way_breaks_the_signatures(change: object) -> None:
    assert callable(change)
    assert verdicts(change(wire(sign(LETTERS["plain"])))) == [False, False]


def test_one_click_headers_are_covered_where_they_are_there() -> None:
    headers = dkim.parse_head(("\r\n".join(EXAMPLE) + "\r\n").encode())
    assert "list-unsubscribe-post" in dkim.list_signed(headers)
    assert "list-unsubscribe" not in dkim.list_signed(headers[:4])


def test_a_repeat_is_signed_by_the_same_bytes() -> None:
    assert sign(LETTERS["plain"]) == sign(LETTERS["plain"])


@pytest.mark.parametrize(
    ("sender", "signs"),
    [("example.com", True), ("mail.example.com", True), ("badexample.com", False), ("example.net", False)],
)
def test_a_key_signs_for_its_domain_and_those_below(sender: str, *, signs: bool) -> None:
    assert (BOTH(sender, b"x", 0) is not None) == signs


def test_a_key_is_read_as_it_was_written() -> None:
    for key in (RSA, ED25519):
        assert dkim.make_record(dkim.load_key(dkim.write_key(key))) == dkim.make_record(key)


@pytest.mark.parametrize("pem", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_reported(pem: bytes) -> None:
    with pytest.raises(dkim.DkimKeyError, match="imsg dkim new"):
        dkim.load_key(pem)


def test_a_record_is_written_in_strings_that_dns_takes() -> None:
    text = dkim.make_record(RSA)
    pieces = re.findall(r'"([^"]*)"', dkim.quote_strings(text))
    assert "".join(pieces) == text
    assert len(pieces) == 2
    assert max(map(len, pieces)) <= 255


def smtp_settings(**dkim_keys: object) -> Smtp:
    return Smtp.model_validate({"host": "mail.example.com", "sender": "a@example.com", "dkim": dkim_keys})


def test_settings_name_keys_by_domain(tmp_path: Path) -> None:
    (tmp_path / "r.pem").write_bytes(dkim.write_key(RSA))
    (tmp_path / "e.pem").write_bytes(dkim.write_key(ED25519))
    smtp = smtp_settings(
        selector="r1",
        key_file=tmp_path / "r.pem",
        ed25519_selector="e1",
        ed25519_key_file=tmp_path / "e.pem",
        domains={"other": {"domain": "example.org", "selector": "o1", "key_file": tmp_path / "r.pem"}},
    )
    begin = _make_signing(smtp, "example.com")
    assert begin is not None
    for domain, selectors in (("example.com", [b"r1", b"e1"]), ("example.org", [b"o1"])):
        sign = begin(domain, b"x\r\n", 0)
        assert sign is not None
        assert re.findall(rb" s=(\w+);", sign(b"From: a@example.com\r\n")) == selectors


@pytest.mark.parametrize(
    "keys",
    [
        {"selector": "s1"},
        {"domain": "example.com"},
        {"selector": "S 1", "key_file": __file__},
        {"selector": "s1", "key_file": "/nowhere/key.pem"},
        {"selector": "s1", "key_file": __file__, "ed25519_selector": "s1", "ed25519_key_file": __file__},
    ],
)
def test_settings_that_cannot_sign_stop_the_start(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        smtp_settings(**keys)


def test_without_dkim_nothing_of_it_is_loaded() -> None:
    assert _make_signing(smtp_settings(), "example.com") is None
