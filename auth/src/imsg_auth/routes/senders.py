"""Senders of mail that administrators set up."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from imsg_auth.mail_senders import ShownSender
from imsg_auth.routes.dependencies import AuthServices, Language
from imsg_auth.schemas.senders import (
    DnsRecordShape,
    NewSender,
    ReceiverShape,
    SenderAnswer,
    SenderDnsAnswer,
    SenderPatch,
    SendersAnswer,
    SenderShape,
)
from imsg_channels import CHANNELS
from imsg_contract.addresses import read_sender
from imsg_contract.error_responses import BODY
from imsg_contract.errors import Refusal
from imsg_contract.provider_accounts import NamedSender
from imsg_web.authorization import Administrator, InternalRoute, Reader
from imsg_web.responses import refuse_value
from imsg_web.schemas import Success, describe_refusals

METHODS = tuple(channel.name for channel in CHANNELS if channel.has_senders)

CHANGED = ("no_right", "not_found", "name_in_settings")

router = APIRouter(prefix="/api/senders", route_class=InternalRoute)


@router.get("", responses=describe_refusals("no_right"))
async def list_senders(_: Reader, services: AuthServices) -> SendersAnswer:
    """List the senders that a send may name."""
    return SendersAnswer(senders=[SenderShape(**_show(shown)) for shown in await services.senders.list()])


@router.post(
    "",
    responses=describe_refusals(
        "no_right", *BODY, "providers_closed", "sender_exists", "name_in_settings", "too_many_senders"
    ),
)
async def add_sender(administrator: Administrator, body: NewSender, services: AuthServices) -> SenderAnswer:
    """Set up a sender; sends may name it within 2 s."""
    if body.method not in METHODS:
        names = ", ".join(METHODS)
        raise refuse_value("method", f"只有 {names} 有发件人", f"only {names} has senders")
    sender = NamedSender(name=body.name, **_check_addresses({"address": body.address, "reply_to": body.reply_to}))
    await services.senders.add(administrator, body.method, sender)
    return SenderAnswer(**_show(await services.senders.find(body.name)))


@router.patch("/{name}", responses=describe_refusals(*BODY, *CHANGED))
async def change_sender(
    administrator: Administrator, name: str, body: SenderPatch, services: AuthServices
) -> SenderAnswer:
    """Change the address of a sender, or where replies go."""
    values = body.model_dump(exclude_unset=True)
    if not values:
        raise Refusal("missing", field="address")
    await services.senders.change(administrator, name, _check_addresses(values))
    return SenderAnswer(**_show(await services.senders.find(name)))


@router.delete("/{name}", responses=describe_refusals(*CHANGED))
async def remove_sender(administrator: Administrator, name: str, services: AuthServices) -> Success:
    """Remove a sender; a message that names it and still waits fails."""
    await services.senders.remove(administrator, name)
    return Success()


@router.get("/{name}/dns", responses=describe_refusals("no_right", "not_found", "providers_closed", "sender_away"))
async def examine_sender_dns(_: Reader, name: str, language: Language, services: AuthServices) -> SenderDnsAnswer:
    """Look up the DNS records of a sender's domain, `default` for the default one: what is wanted and what is found."""
    found = await services.senders.examine_dns(name, english=language == "en")
    return SenderDnsAnswer(
        domain=found.domain,
        records=[DnsRecordShape(**record.model_dump()) for record in found.records],
        receivers=[ReceiverShape(**receiver.model_dump()) for receiver in found.receivers],
    )


def _check_addresses(values: Mapping[str, str | None]) -> dict[str, Any]:
    """Return addresses of senders without outer blanks. Raises Refusal wrong_type."""
    for field, text in values.items():
        try:
            if text is not None:
                read_sender(text.strip())
        except ValueError as error:
            zh = "应为 noreply@example.com，或 天存 <noreply@example.com>；@ 之前只能是英文字母、数字和符号"
            raise refuse_value(field, zh, str(error)) from error
    return {field: None if text is None else text.strip() for field, text in values.items()}


def _show(shown: ShownSender) -> dict[str, object]:
    return {
        "name": shown.sender.name,
        "method": shown.method,
        "address": shown.sender.address,
        "reply_to": shown.sender.reply_to,
        "from": shown.source,
        "changed_at": shown.changed_at,
        "changed_by": shown.changed_by,
    }
