"""WeChat: template messages of official accounts to their followers."""

from datetime import timedelta
from typing import Annotated

from pydantic import RootModel, Tag, ValidationInfo, model_validator

from imsg_channels import spellings
from imsg_channels.content import content_error
from imsg_channels.deployment import Deployment
from imsg_channels.spec import Address, BilingualText, ChannelSpec
from imsg_channels.stand_in import At, Secret, StandIn
from imsg_channels.templates import (
    TEXT_OR_TEMPLATE,
    FreeText,
    Template,
    check_value,
    dump_content,
    find,
    params_of,
    templates_of,
)
from imsg_channels.wechat_kinds import KINDS
from imsg_contract import addresses
from imsg_contract.topology import ERASED, followers_key, left_key
from imsg_contract.wire import Status


class WeChatContent(RootModel[Annotated[Annotated[FreeText, Tag("text")] | Template, TEXT_OR_TEMPLATE]]):
    """A text for the default template, cut where it does not fit, or a template and its variables."""

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> "WeChatContent":
        templates, content = templates_of(info), dump_content(self.root)
        if isinstance(content, dict) and (used := find(content, templates)) is not None:
            for name, value in params_of(content, used).items():
                check_value(name, value, used)
                _check_kind(name, value, used.kinds.get(name, ""))
        return self


def _check_kind(name: str, value: str, kind: str) -> None:
    """Refuse what WeChat refuses of a field of this kind (47003)."""
    known = KINDS.get(kind.removeprefix("wechat."))
    if known is not None and not known.accepts(value):
        raise content_error(f"{name} 应为{known.wants.zh}", f"{name} takes {known.wants.en}")


ORDER = (
    {
        "kind": "subscribe",
        "id": "imsg-sandbox-notice",
        "fields": {"thing1": "${goods}", "time2": "${imsg.time}"},
        "page": "https://example.com/orders/${number}",
    },
    {"kind": "text", "text": "您的订单 ${number}（${goods}）已发货。"},
    {
        "kind": "template",
        "id": "imsg-sandbox-order",
        "fields": {
            "thing1": "${goods}",
            "character_string2": "${number}",
            "const3": "已发货",
            "time4": "${imsg.time}",
        },
        "url": "https://example.com/orders/${number}",
    },
)
"""The delivery options of the template `order`, which docs/wechat.md describes, for the sandbox."""

_ACCOUNT = ("APPID", "SECRET", "TOKEN", "AES_KEY", "TEMPLATE", "VARIABLE", "TEMPLATES", "ENDPOINT")

WECHAT = ChannelSpec(
    name="wechat",
    titles=BilingualText("微信", "WeChat"),
    icon="forum",
    address=Address(
        addresses.tag,
        label=BilingualText("微信标记", "WeChat tag"),
        error=BilingualText(
            "不是微信标记：关注公众号后点击“获取我的openID”可得到",
            "it is no WeChat tag; a follower gets theirs by pressing 获取我的openID",
        ),
        usernames="unlike",
        is_malformed=lambda text: addresses.has_tag_form(text) or spellings.is_malformed(text),
    ),
    content=WeChatContent,
    content_zh="填入默认模板的一段文字（放不下时截断），或模板及其变量。",
    lifetime=timedelta(hours=24),
    to=BilingualText(
        "发送到关注者的微信标记，或用户名对应的用户。",
        "To followers' tags, and users by their names.",
    ),
    example={"to": "7K3-M9Q-2XH", "content": "明天下雨"},
    deployment=Deployment(
        settings=(
            *(f"ACCOUNTS__MAIN__{name}" for name in ("MODE", *_ACCOUNT, "TEXTS_PER_WINDOW")),
            "UNCERTAIN",
        ),
        literals=(
            "ACCOUNTS__MAIN__APPID=",
            "ACCOUNTS__MAIN__SECRET={wechat_secret}",
            "ACCOUNTS__MAIN__TOKEN={wechat_token}",
            "ACCOUNTS__MAIN__AES_KEY={wechat_aes_key}",
            "ACCOUNTS__MAIN__TEMPLATE=",
            "ACCOUNTS__MAIN__VARIABLE=",
        ),
        secrets=("wechat_secret", "wechat_token", "wechat_aes_key"),
        has_tables=True,
        is_called_by_gateway=True,
        calls_auth=True,
    ),
    contact="wechat",
    has_accounts=True,
    has_templates=True,
    has_hooks=True,
    receipts=frozenset({Status.DELIVERED, Status.FAILED}),
    reaches_at="delivered",
    calls_history=True,
    stand_in=StandIn(
        named=(("accounts",),),
        settings={
            "accounts": {
                "sandbox": {
                    "appid": "wx5a2d8c1e0f3b7a94",
                    "secret": Secret("wechat_secret"),
                    "token": Secret("wechat_token"),
                    "aes_key": Secret("wechat_aes_key"),
                    "template": "imsg-sandbox-template",
                    "templates": {"order": {"options": ORDER}, "notice": {"options": ORDER[:1]}},
                    "endpoint": At("/sandbox/wechat/api"),
                }
            }
        },
    ),
    redis_keys=("imsg:wechat:*", followers_key("*"), left_key("*"), ERASED),
    redis_commands=("scan",),
)
