"""Messages of WeChat are parsed from any input without other errors than UnreadableXml."""

from contextlib import suppress
from xml.sax.saxutils import escape

from hypothesis import example, given
from hypothesis import strategies as st

from imsg_wechat.replies import UnreadableXml, parse_elements, parse_message

NAMES = ("ToUserName", "FromUserName", "CreateTime", "MsgType", "Event", "EventKey", "MsgID", "MsgId", "Content")
PIECES = ["<xml>", "</xml>", "<![CDATA[", "]]>", "<Event>", "</Event>", "<!DOCTYPE x>", "&#0;", "&lt;", "\0", "<a/>"]


def write_xml(fields: dict[str, str]) -> bytes:
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    return f"<xml>{inner}</xml>".encode("utf-8", "surrogatepass")


@given(st.binary() | st.lists(st.sampled_from(PIECES) | st.text(max_size=5)).map(lambda all_: "".join(all_).encode()))
def test_any_body_is_read_or_unreadable(body: bytes) -> None:
    with suppress(UnreadableXml):
        assert all(isinstance(value, str) for value in parse_elements(body).values())
    with suppress(UnreadableXml):
        read = parse_message(body)
        assert read.openid
        assert read.at >= 0
        assert all(isinstance(part, str) for part in read.name)


@example({"FromUserName": "o1", "MsgType": "text", "CreateTime": str(2**63)})
@given(st.dictionaries(st.sampled_from(NAMES), st.text(st.characters()) | st.integers().map(str)))
def test_any_message_is_read_or_unreadable(fields: dict[str, str]) -> None:
    with suppress(UnreadableXml):
        read = parse_message(write_xml(fields))
        assert read.asks_for_tag in (True, False)
        assert read.event == "" or fields["MsgType"] == "event"
        assert 0 <= read.at < 2**63
