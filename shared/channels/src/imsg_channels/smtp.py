"""E-mail."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, model_validator
from pydantic.config import JsonDict

from imsg_channels.content import ContentModel, Context, check_length, content_error, with_message
from imsg_channels.deployment import Deployment
from imsg_channels.one_line import ONE_LINE, has_control
from imsg_channels.spec import Address, BilingualText, ChannelSpec
from imsg_channels.stand_in import Default, MailServer, StandIn
from imsg_contract import addresses
from imsg_contract.wire import Status

MAX_SUBJECT_CHARACTERS = 255


def _one_line(subject: str) -> str:
    if has_control(subject):
        raise content_error("subject 不能含换行或控制字符", "subject must not hold a line break or a control character")
    return subject


class MailContent(ContentModel):
    """A mail. `text` may be empty only beside `html` or an attachment."""

    subject: Annotated[
        str,
        Field(min_length=1, max_length=MAX_SUBJECT_CHARACTERS, json_schema_extra={"pattern": f"^{ONE_LINE}+$"}),
        with_message(
            f"subject 须为 1 到 {MAX_SUBJECT_CHARACTERS} 个字符",
            f"subject must be 1 to {MAX_SUBJECT_CHARACTERS} characters",
        ),
        AfterValidator(_one_line),
    ]
    text: str
    html: Annotated[str | None, AfterValidator(lambda html: html or None)] = None

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, content: Any) -> Any:  # noqa: ANN401  any JSON
        if not isinstance(content, dict):
            raise content_error(
                '邮件的 content 必须是对象：{"subject": 标题, "text": 正文}',
                'for mail it must be an object, {"subject": …, "text": …}',
            )
        return content

    @model_validator(mode="after")
    def _require_content(self, info: ValidationInfo) -> "MailContent":
        has_attachment = isinstance(info.context, Context) and info.context.has_attachment
        if not self.text and not self.html and not has_attachment:
            raise content_error(
                "没有 html 或附件时 text 不能为空", "text may be empty only beside html or an attachment"
            )
        check_length(self.subject, self.text, self.html or "")
        return self


_TEXT_IS_EMPTY: JsonDict = {
    "properties": {
        "content": {
            "properties": {
                "text": {"type": "string", "maxLength": 0},
                "html": {"type": ["string", "null"], "maxLength": 0},
            },
            "required": ["text"],
        },
        "attachment": {"type": ["array", "null"], "maxItems": 0},
    },
    "required": ["content"],
}

SMTP = ChannelSpec(
    name="smtp",
    titles=BilingualText("邮件", "E-mail"),
    icon="mail",
    address=Address(
        addresses.email,
        label=BilingualText("邮箱地址", "e-mail address"),
        error=BilingualText("不是邮箱地址", "it is no e-mail address"),
        schema={"format": "email"},
        parse_named=addresses.named_email,
    ),
    content=MailContent,
    content_zh="一封邮件。只有给出 `html` 或附件时 `text` 才可以为空。",
    lifetime=timedelta(hours=24),
    chunk_size=50,
    to=BilingualText(
        "发送到邮箱地址，或用户名对应的用户。",
        "To e-mail addresses, and users by their names.",
    ),
    code_example={
        "to": "li.wei@example.com",
        "content": {"subject": "登录验证码", "text": "您的验证码是 482913，5 分钟内有效。"},
        "expires_in": 300,
    },
    example={
        "to": ["li.wei@example.com"],
        "content": {"subject": "会议纪要", "text": "请查收附件。"},
        "attachment": {"filename": "纪要.txt", "file": "5Lya6K6u57qq6KaBCg=="},
    },
    deployment=Deployment(
        settings=(
            "HOST",
            "PORT",
            "SECURITY",
            "USERNAME",
            "PASSWORD",
            "AUTH",
            "PRESET",
            "TENANT",
            "CLIENT_ID",
            "CLIENT_SECRET",
            "CERTIFICATE",
            "SERVICE_ACCOUNT",
            "REFRESH_TOKEN",
            "TOKEN_URL",
            "SCOPE",
            "SENDER",
            "CONNECTIONS",
            "UNCERTAIN",
            "BOUNCE_DOMAIN",
            "BOUNCE_SECRET",
            "DKIM__DOMAIN",
            "DKIM__SELECTOR",
            "DKIM__KEY_FILE",
            "DKIM__ED25519_SELECTOR",
            "DKIM__ED25519_KEY_FILE",
            "BOUNCE_MAILBOX__HOST",
            "BOUNCE_MAILBOX__PORT",
            "BOUNCE_MAILBOX__SECURITY",
            "BOUNCE_MAILBOX__USERNAME",
            "BOUNCE_MAILBOX__PASSWORD",
            "BOUNCE_MAILBOX__FOLDER",
            "BOUNCE_MAILBOX__MOVE_TO",
        ),
        literals=(
            "HOST=smtp.example.com",
            "PORT=587",
            "SECURITY=starttls",
            "USERNAME=imsg@example.com",
            "PASSWORD={smtp_password}",
            "SENDER=iMSG <imsg@example.com>",
        ),
        memory_mib=1024,
        memory_why="two mails of 14 MiB for each of 8 connections, and their attachments before that",
        requested_mib=128,
        ports=(25, 143, 443, 465, 587, 993),
    ),
    request_schema={"not": _TEXT_IS_EMPTY},
    contact="email",
    redis_keys=("imsg:smtp:*",),
    has_attachments=True,
    sender="address",
    has_hooks=True,
    receipts=frozenset({Status.DELIVERED, Status.FAILED}),
    calls_history=True,
    stand_in=StandIn(
        named=(("host",),),
        settings={
            "host": MailServer.HOST,
            "port": MailServer.PORT,
            "security": "none",
            "sender": Default("iMSG <imsg@example.com>"),
        },
    ),
)
