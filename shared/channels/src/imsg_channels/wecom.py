"""WeCom: messages of group robots."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Discriminator, Field, RootModel, Tag

from imsg_channels.content import SENTENCE, ContentModel, content_error
from imsg_channels.deployment import Deployment
from imsg_channels.spec import Address, BilingualText, ChannelSpec
from imsg_channels.stand_in import At, Secret, StandIn

MAX_TEXT_BYTES = 2_048
MAX_MARKDOWN_BYTES = 4_096
"""In UTF-8, of which a Chinese character takes three (developer.work.weixin.qq.com/document/path/91770)."""

_ROBOT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def read_robot(text: str) -> str | None:
    """Return a robot's name as settings have it, in lower case; None where a text can't be one."""
    name = text.lower()
    return name if _ROBOT.fullmatch(name) else None


def _limit(max_bytes: int) -> AfterValidator:
    def check(text: str) -> str:
        if not text.strip():
            raise content_error("内容不能为空", "it is empty")
        if (length := len(text.encode("utf-8", "surrogatepass"))) > max_bytes:
            raise content_error(
                f"最多 {max_bytes} 字节（一个汉字 3 字节），现有 {length}",
                f"it takes at most {max_bytes} bytes of UTF-8, this has {length}",
            )
        return text

    return AfterValidator(check)


class MarkdownContent(ContentModel):
    """A text in WeCom's Markdown: headings, bold, links, quotes and three colours."""

    markdown: Annotated[
        str,
        Field(json_schema_extra={"minLength": 1, "maxLength": MAX_MARKDOWN_BYTES, "pattern": r"\S"}),
        _limit(MAX_MARKDOWN_BYTES),
    ]


_Text = Annotated[
    str,
    Field(json_schema_extra={"minLength": 1, "maxLength": MAX_TEXT_BYTES, "pattern": r"\S"}),
    _limit(MAX_TEXT_BYTES),
    Tag("text"),
]


def _kind(content: object) -> str | None:
    if isinstance(content, str):
        return "text"
    is_markdown = isinstance(content, MarkdownContent) or (isinstance(content, dict) and "markdown" in content)
    return "markdown" if is_markdown else None


class WeComContent(
    RootModel[
        Annotated[
            _Text | Annotated[MarkdownContent, Tag("markdown")],
            Discriminator(
                _kind,
                custom_error_type=SENTENCE,
                custom_error_message="{en}",
                custom_error_context={
                    "zh": "必须是字符串，或 {markdown} 对象",
                    "en": "it must be a string, or an object {markdown}",
                },
            ),
        ]
    ]
):
    """A text of at most 2,048 bytes, or Markdown of at most 4,096."""


_EXPLANATIONS = {
    "unreachable": ("连不上企业微信。", "WeCom can't be reached.", "wait"),
    "timeout": ("企业微信没有及时回答，不知道是否已收下。", "WeCom did not answer in time; it may have it.", "check"),
    "cut_off": ("连接在回答之前断开，不知道是否已收下。", "The connection ended before the answer.", "check"),
    "gibberish": ("企业微信的回答无法识别。", "WeCom's answer can't be understood.", "check"),
    "endpoint": ("接口地址配置不正确。", "The endpoint is not set right.", "operator"),
    "http_5": ("企业微信的服务器出错。", "WeCom's server failed.", "check"),
    "http_4": ("这个地址不是企业微信的接口。", "What answers there is not WeCom.", "operator"),
    "no_robot": ("没有配置这个群机器人。", "No robot of this name is configured.", "operator"),
    "paced": (
        "群机器人每分钟条数有限，正在排队。",
        "A robot writes a limited number a minute; it waits its turn.",
        "wait",
    ),
    "circuit_open": (
        "企业微信连续出错，暂停尝试一会儿。",
        "WeCom failed several times in a row and is not tried for a while.",
        "wait",
    ),
    "45009": ("超过每分钟 20 条的限制。", "More than 20 a minute.", "wait"),
    "45033": ("同时的调用太多。", "Too many calls at once.", "wait"),
    "-1": ("企业微信繁忙。", "WeCom is busy.", "wait"),
    "93000": (
        "群机器人的密钥无效，可能已被移除。",
        "The robot's key is not valid; it may have been removed.",
        "operator",
    ),
    "60020": ("本机地址不在允许的范围内。", "Our address may not call.", "operator"),
    "40058": ("内容不被企业微信接受。", "WeCom does not accept the content.", "content"),
    "40008": ("消息类型不被企业微信接受。", "WeCom does not accept this kind of message.", "content"),
    "44004": ("内容为空。", "The content is empty.", "content"),
    "45002": ("内容太长。", "The content is too long.", "content"),
}

_MARKDOWN = "A text in WeCom's Markdown: headings, bold, links, quotes and three colours."

WECOM = ChannelSpec(
    name="wecom",
    titles=BilingualText("企业微信群", "WeCom group"),
    icon="smart_toy",
    address=Address(
        read_robot,
        label=BilingualText("群机器人名称", "name of a robot"),
        error=BilingualText("不是群机器人名称", "it is no name of a robot"),
        usernames="any",
    ),
    content=WeComContent,
    content_zh="最多 2,048 字节的文本，或最多 4,096 字节的 Markdown。",
    lifetime=timedelta(hours=24),
    chunk_size=20,
    to=BilingualText(
        "发送到配置中的群机器人所在的群。", "To the groups of the robots that are configured, by their names."
    ),
    example={"to": "sandbox", "content": {"markdown": "**磁盘告警** 主机 db-1 已用 92%"}},
    chinese={_MARKDOWN: "企业微信的 Markdown 文本：标题、加粗、链接、引用和三种颜色。"},
    explanations=_EXPLANATIONS,
    deployment=Deployment(
        settings=("ROBOTS__MAIN__KEY", "ROBOTS__MAIN__ENDPOINT", "PER_MINUTE", "UNCERTAIN"),
        literals=("ROBOTS__MAIN__KEY={wecom_robot_key}",),
        secrets=("wecom_key",),
    ),
    has_markdown=True,
    publishes_addresses=True,
    stand_in=StandIn(
        named=(("robots",),),
        settings={"robots": {"sandbox": {"key": Secret("wecom_key"), "endpoint": At("/sandbox/wecom")}}},
        to="sandbox",
    ),
)
