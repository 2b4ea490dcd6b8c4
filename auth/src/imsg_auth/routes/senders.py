"""Senders that administrators set up."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from imsg_auth.routes.dependencies import AuthServices, Language, RouteServices
from imsg_auth.schemas.senders import (
    DnsRecordShape,
    NewSender,
    ReceiverShape,
    RemarkShape,
    SenderAnswer,
    SenderDnsAnswer,
    SenderPatch,
    SendersAnswer,
    SenderShape,
)
from imsg_auth.senders import ShownSender
from imsg_channels import CHANNELS
from imsg_contract.addresses import read_sender
from imsg_contract.error_responses import BODY
from imsg_contract.errors import Refusal
from imsg_contract.provider_accounts import NamedSender
from imsg_web.authorization import Administrator, InternalRoute, Reader
from imsg_web.responses import refuse_value
from imsg_web.schemas import Success, describe_refusals

SENDERS: Mapping[str, str] = {channel.name: channel.sender for channel in CHANNELS if channel.sender is not None}
"""Method → the field that a sender of it is: its address or its signature."""

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
async def add_sender(
    administrator: Administrator, body: NewSender, language: Language, services: AuthServices
) -> SenderAnswer:
    """Set up a sender: of smtp an address, of sms a signature; sends may name it within 2 s."""
    if body.method not in SENDERS:
        names = ", ".join(SENDERS)
        raise refuse_value("method", f"只有 {names} 有发件人", f"only {names} have senders")
    wanted = SENDERS[body.method]
    given = body.model_dump(include={"address", "signature", "reply_to"}, exclude_none=True)
    if wanted not in given:
        raise Refusal("missing", field=wanted)
    sender = NamedSender(name=body.name, **_check_values(body.method, given))
    await services.senders.add(administrator, body.method, sender)
    return await _answer(services, body.name, language)


@router.patch("/{name}", responses=describe_refusals(*BODY, *CHANGED))
async def change_sender(
    administrator: Administrator, name: str, body: SenderPatch, language: Language, services: AuthServices
) -> SenderAnswer:
    """Change the address of a sender, where replies go, or the signature."""
    values, known = body.model_dump(exclude_unset=True), await services.senders.find(name)
    if not values:
        raise Refusal("missing", field=SENDERS[known.method])
    await services.senders.change(administrator, name, _check_values(known.method, values))
    return await _answer(services, name, language)


@router.delete("/{name}", responses=describe_refusals(*CHANGED))
async def remove_sender(administrator: Administrator, name: str, services: AuthServices) -> Success:
    """Remove a sender; a message that names it and still waits fails."""
    await services.senders.remove(administrator, name)
    return Success()


@router.get("/{name}/dns", responses=describe_refusals("no_right", "not_found", "providers_closed", "sender_away"))
async def examine_sender_dns(_: Reader, name: str, language: Language, services: AuthServices) -> SenderDnsAnswer:
    """Look up the DNS records of a sender's domain, expected and found; `default` is the default sender."""
    report = await services.senders.examine_dns(name, english=language == "en")
    return SenderDnsAnswer(
        domain=report.domain,
        records=[DnsRecordShape(**record.model_dump()) for record in report.records],
        receivers=[ReceiverShape(**receiver.model_dump()) for receiver in report.receivers],
    )


def _check_values(method: str, values: Mapping[str, str | None]) -> dict[str, Any]:
    """Return addresses without outer blanks, and a signature without 【】. Raises Refusal wrong_type."""
    checked: dict[str, Any] = {}
    wanted = SENDERS[method]
    for field, text in values.items():
        if (field == "signature") != (wanted == "signature"):
            raise refuse_value(
                field, f"{method} 的发件人没有这一项，请填写 {wanted}", f"a sender of {method} has a {wanted} instead"
            )
        if text is None:
            checked[field] = None
        elif field == "signature":
            checked[field] = _read_signature(text)
        else:
            checked[field] = _read_address(field, text.strip())
    return checked


def _read_signature(text: str) -> str:
    signature = text.strip()
    if signature.startswith("【") and signature.endswith("】"):
        signature = signature[1:-1].strip()
    if not signature or any(letter in "【】" or letter.isspace() or not letter.isprintable() for letter in signature):
        zh = "应为已审核的签名，如 天存；其中不能有空格和【】"
        raise refuse_value("signature", zh, "it must be an approved signature such as 天存, without blanks and 【】")
    return signature


def _read_address(field: str, text: str) -> str:
    try:
        read_sender(text)
    except ValueError as error:
        zh = "应为 noreply@example.com，或 天存 <noreply@example.com>；@ 之前只能是英文字母、数字和符号"
        raise refuse_value(field, zh, str(error)) from error
    return text


async def _answer(services: RouteServices, name: str, language: str) -> SenderAnswer:
    managed = await services.senders.find(name)
    is_english = language == "en"
    remarks = [
        RemarkShape(
            provider=remark.provider,
            what=remark.trouble.en if is_english else remark.trouble.zh,
            remedy=remark.trouble.remedy_en if is_english else remark.trouble.remedy_zh,
        )
        for remark in await services.senders.check_signature(managed)
    ]
    return SenderAnswer(**_show(managed), remarks=remarks)


def _show(shown: ShownSender) -> dict[str, object]:
    return {
        "name": shown.sender.name,
        "method": shown.method,
        "address": shown.sender.address or None,
        "reply_to": shown.sender.reply_to,
        "signature": shown.sender.signature,
        "from": shown.source,
        "changed_at": shown.changed_at,
        "changed_by": shown.changed_by,
    }
