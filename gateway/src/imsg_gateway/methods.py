"""The methods of sending, one row each: whom it reaches, what it carries, how long it lives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from imsg_contract import addresses
from imsg_gateway import contents
from imsg_gateway.contents import Templates

Content = str | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Method:
    """What the gateway has to know of a method; all else is its sender's."""

    name: str
    address: Callable[[str], str | None]
    """Reads an address into its normal form; None where the text is none of this kind."""
    address_zh: str
    address_en: str
    content: Callable[[object, Templates, bool], Content]
    """Checks `content`, given the templates published and whether something is attached. Raises content_shape."""
    content_fields: tuple[str, ...]
    """What `content` may hold where it is an object."""
    life: timedelta
    """How long it is tried before it expires."""
    has_attachments: bool = False
    has_accounts: bool = False
    """Whether official accounts send it, to followers."""
    has_templates: bool = False
    has_segments: bool = False


def _mail(content: object, _: Templates, has_attachment: bool) -> Content:  # noqa: FBT001  a row's common shape
    return contents.mail(content, has_attachment=has_attachment)


def _sms(content: object, templates: Templates, _: bool) -> Content:  # noqa: FBT001
    return contents.sms(content, templates)


def _wechat(content: object, templates: Templates, _: bool) -> Content:  # noqa: FBT001
    return contents.wechat(content, templates)


METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="smtp",
            address=addresses.email,
            address_zh="邮箱地址",
            address_en="e-mail address",
            content=_mail,
            content_fields=contents.MAIL_FIELDS,
            life=timedelta(hours=24),
            has_attachments=True,
        ),
        Method(
            name="sms",
            address=addresses.phone,
            address_zh="手机号",
            address_en="phone number",
            content=_sms,
            content_fields=contents.TEMPLATE_FIELDS,
            life=timedelta(hours=1),
            has_templates=True,
            has_segments=True,
        ),
        Method(
            name="wechat",
            address=addresses.tag,
            address_zh="微信标记",
            address_en="WeChat tag",
            content=_wechat,
            content_fields=contents.TEMPLATE_FIELDS,
            life=timedelta(hours=24),
            has_accounts=True,
            has_templates=True,
        ),
    )
}
