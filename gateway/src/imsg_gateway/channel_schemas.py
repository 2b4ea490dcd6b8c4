"""The bodies and answers of the routes of channels, their providers and templates."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from imsg_contract.findings import Level
from imsg_contract.results import Concern
from imsg_gateway.schemas import MethodName, example
from imsg_web.request_models import RequestModel
from imsg_web.schemas import AnswerPart, Success


class LaneDepths(AnswerPart):
    """How much waits in each lane of a channel."""

    priority: Annotated[int, Field(description="Log-in codes: they wait for nothing else.")]
    normal: Annotated[int, Field(description="Single messages.")]
    bulk: Annotated[int, Field(description="Lists, and single messages of users that send too many at once.")]
    test: Annotated[int, Field(description="What test keys sent; `waiting` leaves it out.")]


class ProviderError(AnswerPart):
    """A provider's answer to the last message that it did not accept."""

    concerns: Concern | None
    code: str
    detail: str
    at: str


class ProviderBlock(AnswerPart):
    """What of a provider is left alone now."""

    concerns: Concern
    what: str
    code: str
    detail: str
    since: str
    until: str


class Provider(AnswerPart):
    """The state of a provider of a channel: a mail server, an SMS provider, an official account, a robot."""

    name: str
    state: Literal["open", "blocked", "disabled"]
    share: Annotated[
        float | None, Field(description="Of messages for all, from 0 to 1; null where conditions or addresses decide.")
    ]
    why: Annotated[str | None, Field(description="What is blocked and why, the widest of `blocks`.")]
    since: str | None
    until: str | None
    last_error: ProviderError | None
    sent: Annotated[int, Field(description="In the last hour, as `failed`.")]
    failed: int
    p95_ms: Annotated[int | None, Field(description="What 95 of 100 calls of the last hour took at most.")]
    enabled: bool
    weight: Annotated[int | None, Field(description="0: only where others can't send; null: addresses decide.")]
    blocks: list[ProviderBlock]


class Channel(AnswerPart):
    """How a channel is."""

    method: MethodName
    state: Literal["open", "paused", "blocked"]
    why: str | None
    until: str | None
    waiting: Annotated[
        int | None, Field(description="Messages and chunks at the broker; null where it could not be asked.")
    ]
    lanes: Annotated[LaneDepths | None, Field(description="`waiting` by lane.")]
    consumers: Annotated[
        int | None,
        Field(
            description="Senders that consume it now; 0: what waits, waits for one. Null where it could not be asked."
        ),
    ]
    late_s: Annotated[
        int | None,
        Field(description="For how many seconds the first scheduled message has been due; 0: none is."),
    ]
    senders: Annotated[
        list[str], Field(description="What one may name as `sender`: of mail an address, of sms a signature.")
    ]
    reply_to: Annotated[list[str], Field(description="What one may name as `reply_to` of a mail.")]
    signatures: Annotated[dict[str, str], Field(description="Of sms: the signature of each of the `senders`.")]
    providers: Annotated[list[Provider], Field(description="As its senders reported last; for administrators.")]


class ChannelsAnswer(Success):
    """GET /api/channels."""

    channels: list[Channel]


class ChannelPatch(RequestModel):
    """PATCH /api/channels/METHOD."""

    model_config = ConfigDict(json_schema_extra=example(paused=True, reason="the mail server moves until 18:00"))

    paused: bool
    reason: Annotated[
        str | None,
        Field(
            max_length=200,
            pattern=r"^[^\x00-\x1f\x7f]*$",
            description="Administrators see it as `why` while it is paused.",
        ),
    ] = None


class ProviderTest(RequestModel):
    """POST /api/v2/providers/METHOD/NAME/test."""

    model_config = ConfigDict(json_schema_extra=example(to="you@example.com"))

    to: Annotated[
        Any,  # what is wrong with it has a code of its own, which the draft reader answers
        WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 254, "description": "An address of one's own."}),
    ]


class ChannelAnswer(Channel, Success):
    """The current state of the channel."""


class ReplicaShape(AnswerPart):
    """One running replica of a service."""

    service: Annotated[str, Field(description="A sender has the name of its channel.")]
    replica: Annotated[str, Field(description="Its host and process.")]
    version: str
    since: str
    lacks: Annotated[list[str], Field(description="Why it is not ready; empty: it is.")]


class StatusFinding(AnswerPart):
    """The result of one check."""

    part: Annotated[str, Field(description="The kind of the part, such as `service`, `channel`, `broker`, `backup`.")]
    name: Annotated[str, Field(description="Which one of them, such as `smtp`; empty where there is one.")]
    title: Annotated[str, Field(description="Its name for people.")]
    level: Annotated[
        Level, Field(description="`fault`: to be mended now; `notice`: it may become one, or could not be checked.")
    ]
    state: Annotated[str, Field(description="What was found, in the language of the request.")]
    remedy: Annotated[str | None, Field(description="The next step; null where there is nothing to do.")]


class StatusAnswer(Success):
    """GET /api/v2/status."""

    level: Annotated[Level, Field(description="That of the worst finding.")]
    replicas: list[ReplicaShape]
    findings: Annotated[list[StatusFinding], Field(description="The worst first.")]
