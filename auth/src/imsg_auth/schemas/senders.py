"""Senders, by the names that a send gives: of mail addresses, of SMS signatures."""

from typing import Annotated, Literal

from pydantic import Field

from imsg_auth.schemas.fields import example
from imsg_auth.schemas.providers import AccountName, Method
from imsg_contract.provider_accounts import DnsVerdict
from imsg_web.request_models import NOT_NULL, RequestModel
from imsg_web.schemas import AnswerPart, Success, Time

Address = Annotated[
    str,
    Field(max_length=400, description="`noreply@example.com`, or with a name: `天存 <noreply@example.com>`."),
]

Signature = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        description="Of sms: the approved signature, with or without 【】, in place of the account's.",
    ),
]


class NewSender(RequestModel):
    """POST /api/senders: a sender that a send may name."""

    model_config = example(
        {"name": "news", "method": "smtp", "address": "天存资讯 <news@example.com>", "reply_to": "office@example.com"}
    )

    name: AccountName
    method: Method
    address: Annotated[Address | None, Field(description="Of smtp; sms has a `signature`.")] = None
    signature: Signature | None = None
    reply_to: Annotated[
        Address | None, Field(description="Where replies go, unless the send names another; null: to the sender.")
    ] = None


class SenderPatch(RequestModel):
    """PATCH /api/senders/NAME: absent fields don't change."""

    model_config = example({"reply_to": "office@example.com"})

    address: Annotated[Address | None, NOT_NULL] = None
    signature: Annotated[Signature | None, NOT_NULL] = None
    reply_to: Annotated[
        Address | None, Field(description="Where replies go, unless the send names another; null: to the sender.")
    ] = None


class SenderShape(AnswerPart):
    """A sender. Each user's `senders` says whether the user may use it."""

    name: str
    method: Method
    address: Annotated[str | None, Field(description="Of smtp; null: it is a signature.")]
    reply_to: str | None
    signature: Annotated[str | None, Field(description="Of sms, without 【】.")]
    source: Annotated[
        Literal["page", "settings"],
        Field(alias="from", description="`settings`: it comes from a file or the environment."),
    ]
    changed_at: Time | None
    changed_by: str | None


class DnsRecordShape(AnswerPart):
    """A DNS record of a sender's domain."""

    record: Annotated[str, Field(description="`MX`, `SPF`, `DKIM SELECTOR`, `DMARC`, `PTR`.")]
    type: Literal["MX", "TXT", "PTR"]
    name: Annotated[str | None, Field(description="The record's name; null: not known.")]
    wanted: Annotated[str | None, Field(description="What to enter there; null: iMSG can't know it.")]
    found: Annotated[list[str], Field(description="The values found there now.")]
    verdict: DnsVerdict
    why: str
    remedy: str | None


class ReceiverShape(AnswerPart):
    """What a receiver does with the domain's mail."""

    receiver: str
    verdict: str


class SenderDnsAnswer(Success):
    """The DNS records of a sender's domain, as they have to be and as they are."""

    domain: str
    records: list[DnsRecordShape]
    receivers: list[ReceiverShape]


class SendersAnswer(Success):
    """All senders."""

    senders: list[SenderShape]


class RemarkShape(AnswerPart):
    """What is wrong with a signature at a provider, in the asked language."""

    provider: str
    what: str
    remedy: str


class SenderAnswer(Success, SenderShape):
    """The current state of a sender; sends may name it within 2 s."""

    remarks: Annotated[
        list[RemarkShape],
        Field(description="The problems of the signature at the accounts that list their signatures."),
    ]
