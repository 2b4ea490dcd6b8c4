"""The bodies and answers of the gateway's own routes.

`DraftReader` checks a message itself, in the order that the interface promises; a test holds it to these models.
"""

import re
from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, ConfigDict, Field, RootModel, WithJsonSchema, create_model
from pydantic.config import JsonDict

from imsg_channels import CHANNELS, METHODS
from imsg_channels.one_line import ONE_LINE
from imsg_channels.spec import ChannelSpec
from imsg_contract.send_times import EXAMPLE
from imsg_gateway.attachments import MAX_FILENAME_CHARACTERS, MAX_FILES
from imsg_gateway.fallback import MAX_LEGS
from imsg_gateway.fallback import MAX_S as LEG_LONGEST_S
from imsg_gateway.fallback import MIN_S as LEG_SHORTEST_S
from imsg_gateway.fields import MAX_REFERENCE, MAX_S, MIN_S, NAME
from imsg_gateway.groups import MAX_GROUPS
from imsg_limits.quota import Per, Scope, Unit
from imsg_rendering.problems import MAX_PARAMS, MAX_VALUE_CHARACTERS
from imsg_web.request_models import RequestModel
from imsg_web.responses import field_error
from imsg_web.schemas import AnswerPart, CostShape, Success, Time

Recipient = Annotated[str, Field(min_length=1, max_length=254)]
_LENGTHS = {"minLength": 1, "maxLength": 254}

RequestId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
METHOD: JsonDict = {"type": "string", "enum": [*METHODS]}
MethodName = Annotated[str, WithJsonSchema(METHOD)]

_BARE = ONE_LINE.replace("[^", r"[^/\\")
_SEEN = _BARE.replace("[^", r"[^\s")
"""What a bare file name may hold, and at least once must; written without a look-ahead, which is slow to generate."""

_SPACE = r"[ \t\n\r\v\f]*"
_LETTER = rf"[A-Za-z0-9+/]{_SPACE}"
BASE64 = rf"^{_SPACE}(({_LETTER}){{4}})*(({_LETTER}){{2}}(={_SPACE}){{2}}|({_LETTER}){{3}}={_SPACE})?$"


def example(**fields: Any) -> JsonDict:  # noqa: ANN401  any JSON
    """Return the part of a model's configuration that holds its example."""
    return {"examples": [fields]}


class AttachedFile(RequestModel):
    """One file."""

    filename: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_FILENAME_CHARACTERS,
            description="A bare name, without a path.",
            json_schema_extra={"pattern": f"^{_BARE}*{_SEEN}{_BARE}*$", "not": {"enum": [".", ".."]}},
        ),
    ]
    file: Annotated[
        str,
        Field(
            description="Its bytes in standard base64; ASCII white space between is ignored.",
            json_schema_extra={"contentEncoding": "base64", "pattern": BASE64},
        ),
    ]


Nothing = Annotated[list[AttachedFile], Field(max_length=0)] | None


class Person(RequestModel):
    """A recipient with addresses of other channels, for the legs of `fallback`, or with words of their own."""

    to: Recipient
    contacts: Annotated[dict[str, Recipient] | None, Field(description="Method → address.")] = None
    params: Annotated[
        dict[str, Annotated[str, Field(max_length=MAX_VALUE_CHARACTERS)]] | None,
        Field(max_length=MAX_PARAMS, description="What the template takes of this recipient."),
    ] = None
    language: Annotated[str | None, Field(min_length=2, max_length=16)] = None
    reference: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_REFERENCE,
            description="What the client calls this message: shown in place of the request's.",
            json_schema_extra={"pattern": f"^{ONE_LINE}+$"},
        ),
    ] = None


_WORDS: JsonDict = {"if": {"not": {"required": ["template"]}}, "then": {"required": ["content"]}}
"""Written so that generators of clients still see one object; of `anyOf` they make a choice of two."""


class FallbackLeg(RequestModel):
    """Another channel, for recipients that the ones before have not reached."""

    model_config = ConfigDict(json_schema_extra=_WORDS)

    method: Annotated[str, Field(json_schema_extra={"enum": list(METHODS)})]
    after_s: Annotated[
        int,
        Field(
            ge=LEG_SHORTEST_S,
            le=LEG_LONGEST_S,
            description="Seconds after the channel before it was begun; it begins at once where that one fails.",
        ),
    ]
    until: Annotated[
        Literal["sent", "delivered"] | None, Field(description="When it has reached a person, as of the request.")
    ] = None
    content: Annotated[str | dict[str, Any] | None, Field(description="As a request by its method has it.")] = None
    template: Annotated[
        str | None,
        Field(min_length=1, max_length=64, description="In place of `content`; of the request's category."),
    ] = None
    params: Annotated[
        dict[str, Annotated[str, Field(max_length=MAX_VALUE_CHARACTERS)]] | None,
        Field(
            max_length=MAX_PARAMS,
            description="What the template takes, where it differs from the request's; a recipient's own win.",
        ),
    ] = None


class SendRequest(RequestModel):
    """What all methods have in common."""

    groups: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]] | None,
        Field(
            min_length=1,
            max_length=MAX_GROUPS,
            description=(
                "Groups, in place of `to`: all their members with an address of this method, each once. Members "
                "without one are left out, and counted in `without_address`."
            ),
        ),
    ] = None

    account: Annotated[
        str | None, Field(description="wechat: the official account's name; without it the tag's own.")
    ] = None
    reference: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_REFERENCE,
            description="What the client calls the request: shown and filtered by wherever the request is.",
            json_schema_extra={"pattern": f"^{ONE_LINE}+$"},
        ),
    ] = None
    provider: Annotated[
        str | None,
        Field(
            description="The one provider that may carry it, as GET /api/v2/channels names it; for administrators.",
            json_schema_extra={"pattern": r"^[\w.-]{1,64}$"},
        ),
    ] = None
    category: Annotated[
        Literal["code", "notice", "marketing"] | None,
        Field(
            description=(
                "What it is for; `notice` if not said. `code`, a log-in code, overtakes all else: the user has "
                "`may_send_codes`, `to` is one recipient, and it is tried for 600 s at most. Past 200 of one user "
                "within 10 s codes go with other single messages, and single messages with lists."
            )
        ),
    ] = None
    template: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=64,
            description="In place of `content`: a published template, as GET /api/v2/templates lists it.",
        ),
    ] = None
    template_version: Annotated[int | None, Field(ge=1, description="One of its published versions.")] = None
    params: Annotated[
        dict[str, Annotated[str, Field(max_length=MAX_VALUE_CHARACTERS)]] | None,
        Field(max_length=MAX_PARAMS, description="What the template takes; a recipient's own win."),
    ] = None
    language: Annotated[
        str | None, Field(min_length=2, max_length=16, description="Of the template; its default language if not said.")
    ] = None
    expires_in: Annotated[
        int | None,
        Field(
            ge=MIN_S,
            le=MAX_S,
            description="Seconds for which it is tried, instead of its method's time; of a `code` 600 at most.",
        ),
    ] = None
    send_at: Annotated[
        str | None,
        Field(
            description=(
                "When it is to be sent: RFC 3339 with an offset, at most 30 days ahead. Up to 5 minutes ago is at "
                "once. `expires_in` counts from then."
            ),
            json_schema_extra={"format": "date-time", "examples": [EXAMPLE]},
        ),
    ] = None

    until: Annotated[
        Literal["sent", "delivered"] | None,
        Field(
            description=(
                "With `fallback`: the status at which this channel has reached a person; not said: `delivered` of sms "
                "and wechat, else `sent`."
            )
        ),
    ] = None
    fallback: Annotated[
        list[FallbackLeg] | None,
        Field(min_length=1, max_length=MAX_LEGS, description="Other channels, in order, for people not reached."),
    ] = None


class NamedSenderRequest(SendRequest):
    """What mail and SMS have beside."""

    sender: Annotated[
        str | None,
        Field(
            description=(
                "Who it comes from, as GET /api/v2/channels lists them: of mail an address, of sms a signature in "
                "place of the account's. Who may not use it is refused later."
            ),
            json_schema_extra={"pattern": f"^{NAME}$"},
        ),
    ] = None


class MailRequest(NamedSenderRequest):
    """What mail has beside."""

    reply_to: Annotated[
        str | None,
        Field(
            description="Where replies go: a name of `IMSG_SMTP__REPLY_TO__NAME__ADDRESS`.",
            json_schema_extra={"pattern": f"^{NAME}$"},
        ),
    ] = None


_BASES: Mapping[str | None, type[SendRequest]] = {
    "address": MailRequest,
    "signature": NamedSenderRequest,
    None: SendRequest,
}


def _describe_send(channel: ChannelSpec) -> type[SendRequest]:
    """Describe what a send by a channel takes; its content describes itself."""
    examples = [{**channel.example, "method": channel.name}]
    if channel.code_example:
        examples.append({**channel.code_example, "method": channel.name, "category": "code"})
    attachment = AttachedFile | Annotated[list[AttachedFile], Field(max_length=MAX_FILES)] | None
    address = Annotated[Recipient, WithJsonSchema({"type": "string", **_LENGTHS, **channel.address.schema})]
    person = address | Person
    fields: dict[str, Any] = {
        "to": (person | Annotated[list[person], Field(min_length=1, max_length=10_000)], Field(default_factory=list)),
        "method": (Literal[channel.name], ...),
        "content": (channel.content | None, None),
        "attachment": (attachment if channel.has_attachments else Nothing, None),
    }
    return create_model(
        "Send" + channel.content.__name__.removesuffix("Content"),
        __base__=_BASES[channel.sender],
        __doc__=channel.to.en,
        __cls_kwargs__={"json_schema_extra": {**channel.request_schema, **_WORDS, "examples": examples}},
        **fields,
    )


_BY_CHANNEL = [_describe_send(channel) for channel in CHANNELS]
_ANY = reduce(or_, _BY_CHANNEL)

MESSAGE_FIELDS = frozenset[str]().union(*(model.model_fields for model in _BY_CHANNEL), MailRequest.model_fields)
"""The fields of a message, whatever its channel."""


class MessageRequest(RootModel[Annotated[_ANY, Field(discriminator="method")]]):  # type: ignore[valid-type]
    """POST /api/v2/messages."""


def _allow_absent(schema: JsonDict) -> None:
    absent = ("segments", "due_at", "held_until", "held_by", "without_address", "legs")
    schema["required"] = [name for name in cast("list[str]", schema["required"]) if name not in absent]


class LegId(AnswerPart):
    """A leg: a request with an id of its own, of which message n is to the same person."""

    id: RequestId
    method: str


class SendAnswer(Success):
    """The broker has the request on durable storage; message n of it is `id-n`."""

    model_config = ConfigDict(json_schema_extra=_allow_absent)

    id: RequestId
    count: Annotated[int, Field(ge=1, description="Messages, after duplicates.")]
    cost: Annotated[
        list[CostShape],
        Field(description="Of all that has a price, by the providers tried first; a sum for each currency."),
    ]
    segments: Annotated[
        int,
        # Absent or a number, never null: the schema does not show the default.
        Field(default_factory=lambda: 1, ge=1, description="In all, with sms only."),
    ]
    without_address: Annotated[
        int,
        Field(default_factory=int, description="With `groups`: members without an address of the method, left out."),
    ]
    due_at: Annotated[
        str,
        Field(
            default_factory=str,
            description="When it is to be sent, where that is later.",
            json_schema_extra={"format": "date-time"},
        ),
    ]
    held_until: Annotated[
        str,
        Field(
            default_factory=str,
            description="When the window opens that it waits for, where it is not open then.",
            json_schema_extra={"format": "date-time"},
        ),
    ]
    held_by: Annotated[str, Field(default_factory=str, description="The id of that window.")]
    legs: Annotated[
        list[LegId],
        Field(default_factory=list, description="With `fallback`: the request and each further leg, in order."),
    ]


class QuotaUsage(AnswerPart):
    """One quota in its current period."""

    id: str
    counts: Unit
    per: Per
    method: Annotated[str | None, Field(description="null: whatever the method.")]
    limit: int
    scope: Annotated[Scope, Field(description="`all`: the whole installation's, which all users share.")]
    used: int
    left: int
    opens_at: Time


class Problem(AnswerPart):
    """One recipient that can't be sent to."""

    to: str
    reason: Literal["recipients_invalid", "not_following", "country_not_allowed", "country_not_taken"]
    detail: str


class CheckAnswer(Success):
    """What a send of the same body would meet."""

    count: Annotated[int, Field(description="Messages it would be, after duplicates and without the problems.")]
    duplicates: int
    without_address: Annotated[int, Field(description="Members of the groups without an address of the method.")]
    segments: Annotated[int | None, Field(description="In all, with sms; null where a template's words are not known.")]
    cost: Annotated[
        list[CostShape],
        Field(description="Of all that has a price, by the providers tried first; a sum for each currency."),
    ]
    suppressed: Annotated[int, Field(description="How many of them may not be written to.")]
    held_until: Annotated[
        str | None,
        Field(
            description="When the window opens that it would wait for; null: it would not be held.",
            json_schema_extra={"format": "date-time"},
        ),
    ]
    held_by: Annotated[str | None, Field(description="The id of that window.")]
    available: Annotated[bool, Field(description="Whether the user may send at all.")]
    quotas: list[QuotaUsage]
    problems: Annotated[list[Problem], Field(max_length=100, description="The first 100.")]
    problems_total: int


Again = Annotated[bool | None, Field(description="Also what was sent again already, which is left out otherwise.")]


_ID = re.compile(r"[0-9a-f]{32}(?:-[0-9]{1,9})?")


def _read_id(text: str) -> str:
    """Read the id of a request or of a message."""
    if not _ID.fullmatch(text.lower()):
        raise field_error(
            "应为发送时返回的 id，或再加-和序号", "it must be the id that send answered, or that with - and a number"
        )
    return text.lower()


class Resend(RequestModel):
    """POST /api/v2/resend: a request's id, or one message's."""

    model_config = ConfigDict(json_schema_extra=example(id="0193643f5a7c7d3e8f1a2b3c4d5e6f70-0", uncertain=False))

    id: Annotated[str, AfterValidator(_read_id), Field(json_schema_extra={"pattern": r"^[0-9a-f]{32}(-[0-9]{1,9})?$"})]
    uncertain: Annotated[bool | None, Field(description="Also what the provider may already have.")] = None
    again: Again = None


class NewExport(RequestModel):
    """POST /api/v2/exports: a user, or the person with an address."""

    model_config = ConfigDict(
        json_schema_extra={
            **example(method="smtp", to="zhang.san@example.com"),
            "anyOf": [
                {
                    "required": ["method", "to"],
                    "properties": {"to": {"type": "string"}, "username": {"type": "null"}},
                },
                {
                    "required": ["username"],
                    "properties": {"username": {"type": "string"}, "method": {"type": "null"}, "to": {"type": "null"}},
                },
            ],
        }
    )

    method: Annotated[str | None, WithJsonSchema(METHOD)] = None
    to: Annotated[str | None, Field(max_length=254, description="One address of the method.")] = None
    username: Annotated[str | None, Field(max_length=64, description="In place of `method` and `to`.")] = None


class ExportBegun(Success):
    """The copy is being made: GET /api/v2/exports/{id} says how far it is."""

    id: str


class DeadResend(RequestModel):
    """POST /api/v2/dead/ID/resend."""

    model_config = ConfigDict(json_schema_extra=example(again=True))

    again: Again = None
