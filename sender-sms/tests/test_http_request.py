"""A request is written as HTTP/1.1 has it, or not at all."""

import pytest

from imsg_sms.providers.http_request import NotSent, write_request


@pytest.mark.parametrize(
    ("headers", "content", "written"),
    [
        ({}, None, b"GET / HTTP/1.1\r\nhost: h\r\nuser-agent: iMSG\r\n\r\n"),
        ({"Host": "x"}, b"a", b"GET / HTTP/1.1\r\nuser-agent: iMSG\r\nHost: x\r\ncontent-length: 1\r\n\r\na"),
    ],
)
def test_a_request_has_what_it_needs_and_no_more(
    headers: dict[str, str], content: bytes | None, written: bytes
) -> None:
    assert write_request("GET", b"h", b"/", headers, content) == written


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb", "a\0b", "天存"])
def test_what_is_no_header_gets_into_no_head(value: str) -> None:
    with pytest.raises(NotSent, match="a header holds"):
        write_request("GET", b"h", b"/", {"x-key": value}, None)
