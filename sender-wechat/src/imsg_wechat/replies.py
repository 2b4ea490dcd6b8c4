"""Parses the XML messages of WeChat's webhook, and writes passive replies."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from imsg_wechat import crypto

TAG_BUTTON_KEY = "获取我的openID"
"""The key of the button in an account's menu."""

TAG_TEXTS = frozenset({"openid", "我的openid"})
"""The texts that ask for the tag, in any letter case."""

WELCOME = "感谢关注！点击菜单“我的”中的“获取我的openID”，或发送“openID”，即可得到您的标记；凭这个标记就能给您发送消息。"
NOT_NOW = "系统正忙，请稍后再点击“获取我的openID”。"
"""Without a reply, WeChat shows a failure of the account."""

CODE_OVER = "这个二维码已经失效或已被别人扫过。请在 iMSG 的页面上重新生成一个，再扫一次。"


def write_scanned(username: str, tag: str) -> str:
    """Return the reply to a scan. It names the user, so that a follower can detect the code of another person."""
    return (
        f"您扫的是把微信绑定到用户“{username}”的二维码。您的标记是 {tag}，请核对它与 iMSG 页面上显示的是否一致；"
        "在页面上确认后，绑定才生效。如果您不认识这个用户名，不必理会。"
    )


LATEST_S = 2**40
"""The latest valid CreateTime (Unix seconds): a larger one would not fit the database."""


class UnreadableXml(Exception):  # noqa: N818  its name says the error
    """The body is not XML of WeChat."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message or event."""

    fields: Mapping[str, str]
    """Element → text."""
    items: Sequence[Mapping[str, str]] = ()
    """The items of its lists, such as `<SubscribeMsgPopupEvent><List>…</List><List>…`."""

    @property
    def openid(self) -> str:
        """The sender."""
        return self.fields["FromUserName"]

    @property
    def at(self) -> int:
        """The time in Unix seconds."""
        return int(self.fields["CreateTime"])

    @property
    def event(self) -> str:
        """The kind of event; empty for a message of a follower."""
        return self.fields.get("Event", "") if self.fields.get("MsgType") == "event" else ""

    @property
    def asks_for_tag(self) -> bool:
        """Whether the follower asks for their tag."""
        if self.event:
            return self.event == "CLICK" and self.fields.get("EventKey") == TAG_BUTTON_KEY
        text = self.fields.get("Content", "") if self.fields.get("MsgType") == "text" else ""
        return text.strip().casefold() in TAG_TEXTS

    @property
    def name(self) -> tuple[str, ...]:
        """The identity of the message, also of its repeats: the MsgId, or several fields of an event."""
        if not self.event and (msgid := self.fields.get("MsgId")):
            return (msgid,)
        fields = tuple(
            self.fields.get(name, "") for name in ("FromUserName", "CreateTime", "Event", "EventKey", "MsgID")
        )
        return (*fields, *(value for item in self.items for value in item.values()))


def parse_elements(body: bytes) -> dict[str, str]:
    """Parse `<xml><Name>text</Name>…</xml>` without entities and document types. Raises UnreadableXml."""
    return _read_texts(_parse(body))


def _parse(body: bytes) -> Element:
    try:
        root: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise UnreadableXml from error
    return root


def _read_texts(parent: Element) -> dict[str, str]:
    return {child.tag: (child.text or "").strip() for child in parent}


def parse_message(body: bytes) -> Message:
    """Parse a decrypted message. Raises UnreadableXml if a required field is missing."""
    root = _parse(body)
    parsed = Message(
        _read_texts(root), tuple(_read_texts(item) for child in root for item in child if item.tag == "List")
    )
    try:
        is_complete = bool(parsed.openid) and 0 <= parsed.at <= LATEST_S and bool(parsed.fields["MsgType"])
    except (KeyError, ValueError) as error:
        raise UnreadableXml from error
    if not is_complete:
        raise UnreadableXml
    return parsed


def write_text_reply(to: Message, text: str, now: int) -> bytes:
    """Return the passive reply to a message."""
    return (
        "<xml>"
        f"<ToUserName>{_cdata(to.openid)}</ToUserName>"
        f"<FromUserName>{_cdata(to.fields.get('ToUserName', ''))}</FromUserName>"
        f"<CreateTime>{now}</CreateTime>"
        "<MsgType><![CDATA[text]]></MsgType>"
        f"<Content>{_cdata(text)}</Content>"
        "</xml>"
    ).encode()


def seal(reply: bytes, key: bytes, appid: str, token: str, now: int) -> bytes:
    """Encrypt and sign a reply for safe mode."""
    encrypted = crypto.encrypt(reply, key, appid, secrets.token_bytes(crypto.RANDOM_BYTES))
    nonce = secrets.token_hex(8)
    signature = crypto.sign(token, str(now), nonce, encrypted)
    return (
        "<xml>"
        f"<Encrypt><![CDATA[{encrypted}]]></Encrypt>"
        f"<MsgSignature><![CDATA[{signature}]]></MsgSignature>"
        f"<TimeStamp>{now}</TimeStamp>"
        f"<Nonce><![CDATA[{nonce}]]></Nonce>"
        "</xml>"
    ).encode()


def _cdata(text: str) -> str:
    return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"
