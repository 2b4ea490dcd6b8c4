"""The shapes of the gateway's own URLs, for the OpenAPI document; a test holds the draft's checks to them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, WithJsonSchema

from imsg_gateway.attachments import MAX_FILENAME_CHARACTERS, MAX_FILES
from imsg_gateway.contents import MAX_SMS_CHARACTERS, MAX_SUBJECT_CHARACTERS

Recipient = Annotated[str, Field(min_length=1, max_length=254)]
Address = Annotated[Recipient, WithJsonSchema({"type": "string", "format": "email", "minLength": 1, "maxLength": 254})]
"""An e-mail address or a username: `format` tells what is usual and forbids nothing."""

RequestId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
MethodName = Literal["smtp", "sms", "wechat"]


class Asked(BaseModel):
    """A request's body: nothing is coerced, fields unknown here are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")


class Answered(BaseModel):
    """A success."""

    model_config = ConfigDict(extra="forbid")

    errorCode: Literal[0]  # noqa: N815  the interface's own name
    errorMessage: Literal["OK"]  # noqa: N815


class Refused(BaseModel):
    """A refusal: what to show to people is `detail`, what to decide by is `errorCode` or `reason`."""

    model_config = ConfigDict(extra="forbid")

    errorCode: int  # noqa: N815
    errorMessage: str  # noqa: N815
    reason: str
    detail: str
    id: RequestId | None = None
    """With reason `outcome_unknown`: the request that may have been accepted."""


class MailContent(Asked):
    """A mail. `text` may be empty only beside `html` or an attachment."""

    subject: Annotated[str, Field(min_length=1, max_length=MAX_SUBJECT_CHARACTERS)]
    text: str
    html: str | None = None


class TemplateContent(Asked):
    """A template of the channel and its variables (sms and wechat)."""

    template: Annotated[str, Field(min_length=1)]
    params: dict[str, str] | None = None


class AttachedFile(Asked):
    """One file."""

    filename: Annotated[str, Field(min_length=1, max_length=MAX_FILENAME_CHARACTERS)]
    """A bare name, without a path."""
    file: str
    """Its bytes in standard base64; white space between is ignored."""


class Sending(Asked):
    """What the three methods have in common."""

    token: str | None = None
    """Here, or in the Authorization header, or in the query."""


class SendMail(Sending):
    """To e-mail addresses, and users by their names."""

    to: Address | Annotated[list[Address], Field(min_length=1, max_length=10_000)]
    method: Literal["smtp"]
    content: MailContent
    attachment: AttachedFile | Annotated[list[AttachedFile], Field(max_length=MAX_FILES)] | None = None


class SendSms(Sending):
    """To phone numbers (E.164, or mainland China's 11 digits), and users by their names."""

    to: Recipient | Annotated[list[Recipient], Field(min_length=1, max_length=10_000)]
    method: Literal["sms"]
    content: Annotated[str, Field(min_length=1, max_length=MAX_SMS_CHARACTERS)] | TemplateContent


class SendWeChat(Sending):
    """To followers' tags, and users by their names."""

    to: Recipient | Annotated[list[Recipient], Field(min_length=1, max_length=10_000)]
    method: Literal["wechat"]
    content: Annotated[str, Field(min_length=1)] | TemplateContent
    account: str | None = None
    """The official account's name; without it the tag's own."""


class SendAsked(RootModel[Annotated[SendMail | SendSms | SendWeChat, Field(discriminator="method")]]):
    """POST /api/send."""


class SendAnswer(Answered):
    """The broker has the request on durable storage; message n of it is `id-n`."""

    id: RequestId
    count: Annotated[int, Field(ge=1)]
    segments: Annotated[int, Field(ge=1)] | None = None
    """Of one message, with sms only."""


class ResendAsked(Asked):
    """POST /api/resend: a request's id, or one message's."""

    token: str | None = None
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}(-[0-9]{1,9})?$")]
    uncertain: bool | None = None


class DeadResendAsked(Asked):
    """POST /api/dead/ID/resend."""

    token: str | None = None


class Channel(BaseModel):
    """How a channel is."""

    model_config = ConfigDict(extra="forbid")

    method: MethodName
    state: Literal["open", "paused", "blocked"]
    why: str | None
    until: str | None
    waiting: int | None
    """Messages and parts at the broker; null where it could not be asked."""


class ChannelsAnswer(Answered):
    """GET /api/channels."""

    channels: list[Channel]


class ChannelAsked(Asked):
    """PATCH /api/channels/METHOD."""

    token: str | None = None
    paused: bool


class ChannelAnswer(Answered, Channel):
    """The channel as it is now."""
