"""What the pager channel is."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, RootModel

from imsg_channels.content import content_error
from imsg_channels.spec import Address, BilingualText, ChannelSpec

MAX_CHARACTERS = 200


def _check(text: str) -> str:
    if not text.strip():
        raise content_error("内容不能为空", "it is empty")
    if len(text) > MAX_CHARACTERS:
        raise content_error(f"最多 {MAX_CHARACTERS} 个字符", f"it takes at most {MAX_CHARACTERS} characters")
    return text


class PagerContent(
    RootModel[
        Annotated[
            str,
            Field(strict=True, json_schema_extra={"minLength": 1, "maxLength": MAX_CHARACTERS, "pattern": r"\S"}),
            AfterValidator(_check),
        ]
    ]
):
    """A text for a pager's display."""


def _number(text: str) -> str | None:
    return text if text.isascii() and text.isdigit() and len(text) == 6 else None


PAGER = ChannelSpec(
    name="pager",
    titles=BilingualText("寻呼", "Pager"),
    icon="pager",
    address=Address(
        _number,
        label=BilingualText("寻呼号", "pager number"),
        error=BilingualText("不是寻呼号：应为 6 位数字", "it is no pager number: 6 digits"),
    ),
    content=PagerContent,
    content_zh="显示在寻呼机上的一段文字。",
    lifetime=timedelta(hours=1),
    to=BilingualText("发送到寻呼号。", "To pager numbers."),
    example={"to": "123456", "content": "速回电话"},
)
