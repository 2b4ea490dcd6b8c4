"""The JSON of suppressions, as strict models."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from imsg_catalog.store import DEFAULT_LIMIT, Row
from imsg_catalog.tables import ANY, MAX_NOTE, MAX_SENDER
from imsg_channels import METHODS, require_method
from imsg_contract.addresses import identity
from imsg_contract.errors import Refusal
from imsg_contract.suppressions import Reason
from imsg_contract.wire import Category, message_id
from imsg_web.request_models import RequestModel
from imsg_web.responses import field_error
from imsg_web.schemas import AnswerPart, AsksTotal, PageLimit, Success, Time, Total
from imsg_web.times import read_rfc3339

MAX_AT_ONCE = 10_000
"""Addresses of one request, as of a send."""

MAX_FAILED = 1_000
"""Recipients of a user's failed messages among which suppressions are looked for."""

_NO_NUL = r"^[^\u0000]*$"

ID_DIGITS = 32
"""Hex digits of an id."""


def _to(given: object) -> object:
    if given is None:
        raise Refusal("missing", field="to")
    several = given if isinstance(given, list) else [given]
    if not several or not all(isinstance(address, str) for address in several):
        raise Refusal(
            "recipients_invalid",
            why_zh="to 应是一个地址，或非空的地址列表",
            why_en="to must be an address, or a list of them that is not empty",
        )
    if len(several) > MAX_AT_ONCE:
        raise Refusal(
            "recipients_invalid",
            why_zh=f"一次最多 {MAX_AT_ONCE} 个地址，请分几次提交",
            why_en=f"there may be {MAX_AT_ONCE} at once; send them in parts",
        )
    return given


def _time(given: object) -> object:
    """Read RFC 3339 with its offset, or Unix seconds."""
    if given is None or isinstance(given, datetime):
        return given
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= 253_402_300_799:  # noqa: PLR2004  the year 9999
        return datetime.fromtimestamp(given, UTC)
    try:
        return read_rfc3339(given if isinstance(given, str) else "")
    except ValueError as error:
        raise field_error(
            "应为带时区的 RFC 3339 时间，或 Unix 秒", "it must be RFC 3339 with its offset, or Unix seconds"
        ) from error


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise field_error("不能含 U+0000", "it must not hold U+0000")
    return text


def _sender(name: str | None) -> str | None:
    if name == ANY:
        raise field_error("若对所有发件方生效，请不要写 sender", "leave sender out where whoever sends is meant")
    return name


Text = Annotated[str, BeforeValidator(lambda text: _no_nul(text) if isinstance(text, str) else text)]


class Scope(RequestModel):
    """Of which messages: what is null or left out is not asked for."""

    sender: Annotated[
        Text | None,
        Field(
            max_length=MAX_SENDER,
            json_schema_extra={"pattern": _NO_NUL, "not": {"const": ANY}},
            description=(
                "By whom: the named sender of a mail (empty: the default one), the signature of an SMS, the official "
                "account."
            ),
        ),
        AfterValidator(_sender),
    ] = None
    category: Annotated[Category | None, Field(strict=False)] = None


class NewSuppressions(RequestModel):
    """POST /api/v2/suppressions: nothing may be sent to these addresses any more."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"method": "smtp", "to": "zhang.san@example.com", "reason": "hard_bounce", "note": "left the company"},
                {"method": "sms", "to": ["13711112222"], "scope": {"category": "marketing"}},
            ]
        },
    )

    method: Annotated[str, BeforeValidator(require_method), WithJsonSchema({"type": "string", "enum": [*METHODS]})]
    to: Annotated[
        str | list[str],
        BeforeValidator(_to),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_AT_ONCE},
                ],
                "description": "Addresses of this method, no usernames; of mail, in whatever case.",
            }
        ),
    ]
    scope: Scope | None = None
    reason: Annotated[Reason, Field(strict=False)] = Reason.OPT_OUT
    until: Annotated[
        datetime | None,
        BeforeValidator(_time),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "format": "date-time"},
                    {"type": "number", "minimum": 0, "maximum": 253_402_300_799},
                    {"type": "null"},
                ],
                "description": "When it ends: RFC 3339, or Unix seconds. Left out: by hand alone.",
            }
        ),
    ] = None
    note: Annotated[Text | None, Field(max_length=MAX_NOTE, json_schema_extra={"pattern": _NO_NUL})] = None


CURSOR = "^[0-9a-f]{32}$"


def _not_blank(to: str) -> str:
    if not to.strip() or "\0" in to:
        raise field_error("应是地址或其一部分", "it must be an address or a part")
    return to


def _is_cursor(text: str) -> str:
    if text and (len(text) != ID_DIGITS or not set(text) <= set("0123456789abcdef")):
        raise field_error(
            "应原样填写上一页返回的 next，第一页不填",
            "it must be the `next` of the page before, unchanged; leave it out for the first page",
        )
    return text


class SuppressionsQuery(BaseModel):
    """The query of GET /api/v2/suppressions."""

    model_config = ConfigDict(frozen=True)

    method: Annotated[
        str | None, BeforeValidator(require_method), WithJsonSchema({"type": "string", "enum": [*METHODS]})
    ] = None
    reason: Annotated[
        Reason | None, WithJsonSchema({"type": "string", "enum": [reason.value for reason in Reason]})
    ] = None
    to: Annotated[
        str | None,
        AfterValidator(_not_blank),
        WithJsonSchema(
            {
                "type": "string",
                "minLength": 1,
                "pattern": _NO_NUL,
                "description": "An address, or a part of one, whatever its case.",
            }
        ),
    ] = None
    limit: PageLimit = DEFAULT_LIMIT
    cursor: Annotated[
        str | None,
        AfterValidator(_is_cursor),
        WithJsonSchema({"type": "string", "pattern": f"({CURSOR})|(^$)", "description": "`next` of the page before."}),
    ] = None
    total: AsksTotal = 0


class FailedRecipient(RequestModel):
    """A recipient that a user's message did not reach."""

    method: str
    address: str
    written: Annotated[str, Field(description="As the user wrote it: perhaps the name of a user.")]


class FailedRecipients(RequestModel):
    """POST /internal/suppressions/failed."""

    recipients: Annotated[list[FailedRecipient], Field(max_length=MAX_FAILED)]


class ScopeShape(AnswerPart):
    """The messages that a suppression blocks."""

    sender: str | None
    category: Category | None


class SuppressionShape(AnswerPart):
    """One address to which nothing may be sent any more."""

    id: str
    method: str
    to: str
    reason: Reason
    scope: Annotated[ScopeShape | None, Field(description="null: all messages of all senders.")]
    evidence: Annotated[str, Field(description="By what it is known: the words of a server, an answer.")]
    note: str
    message: Annotated[str | None, Field(description="The message that it came of, where that is known.")]
    added_by: Annotated[str | None, Field(description="The user who entered it; null: it was learned.")]
    until: Time | None
    created_at: Time


class SuppressionsAnswer(Success):
    """A page, the newest first."""

    suppressions: list[SuppressionShape]
    next: str | None
    total: Total


class ProblemShape(AnswerPart):
    """An address that is none."""

    to: str
    detail: str


class AddedAnswer(Success):
    """What was added."""

    id: Annotated[str | None, Field(description="Of the only one that was added; else null.")]
    added: Annotated[int, Field(description="How many are new.")]
    known: Annotated[int, Field(description="How many stood already, or were named twice.")]
    problems: Annotated[list[ProblemShape], Field(description="The first 100 that are no address of this method.")]
    problems_total: int


class RemovedAnswer(Success):
    """The suppression is removed."""


def show(row: Row) -> SuppressionShape:
    """Write one suppression as the API shows it."""
    has_scope = row.sender is not None or row.category is not None
    return SuppressionShape(
        id=row.id,
        method=row.method,
        to=row.address,
        reason=row.reason,
        scope=ScopeShape(sender=row.sender, category=row.category) if has_scope else None,
        evidence=row.evidence,
        note=row.note,
        message=None if row.request is None else message_id(row.request, row.n or 0),
        added_by=row.added_by,
        until=None if row.until_ms is None else datetime.fromtimestamp(row.until_ms / 1_000, UTC),
        created_at=datetime.fromtimestamp(row.created_ms / 1_000, UTC),
    )


def show_to_owner(row: Row, written: str) -> SuppressionShape:
    """Return a suppression for a user whose message it failed: without other people, and of a contact only its name."""
    shown = show(row)
    evidence = shown.evidence if identity(written) == identity(row.address) else ""
    return shown.model_copy(update={"to": written, "evidence": evidence, "note": "", "message": None, "added_by": None})
