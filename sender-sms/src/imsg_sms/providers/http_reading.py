"""Reads the responses, pushes and pulled reports of described providers."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree.ElementTree import Element

from defusedxml import DefusedXmlException, ElementTree

from imsg_contract.constant_time import equals
from imsg_contract.wire import Inbound
from imsg_sms.http_settings import HttpInbound, HttpPush, HttpReceipts, PushSignature
from imsg_sms.providers import HookRequest, NotSigned, ReceiptReport, ReportBatch, numbers
from imsg_sms.providers.http_filling import compute
from imsg_sms.providers.inbound import InboundFields, make_inbound
from imsg_sms.providers.meanings import parse_time
from imsg_sms.providers.template_provider import ReceiptFields, make_report, read_all


def parse(text: str) -> Any:  # noqa: ANN401  any JSON
    """Parse a response as JSON, or XML as nested objects; None if it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if not text.lstrip().startswith("<"):
        return None
    try:
        return _flatten(ElementTree.fromstring(text.strip()))
    except (ElementTree.ParseError, DefusedXmlException, ValueError, RecursionError):
        return None


def _flatten(element: Element) -> Any:  # noqa: ANN401  text, or a mapping of more
    children = list(element)
    if not children:
        return (element.text or "").strip()
    values: dict[str, Any] = {}
    for child in children:
        name, value = child.tag.rpartition("}")[2], _flatten(child)
        if name in values:
            values[name] = [*(values[name] if isinstance(values[name], list) else [values[name]]), value]
        else:
            values[name] = value
    return values


def is_success(rule: str, status: int, body: Any, text: str) -> bool:  # noqa: ANN401  any JSON
    """Return whether a response fits the rule: `status=200`, `text=…` (a prefix), or `PATH=VALUE` in its JSON."""
    path, _, wanted = rule.partition("=")
    path = path.strip()
    if path == "status":
        return str(status) == wanted.strip()
    if path == "text":
        return text.strip().startswith(wanted.strip())
    value = at(body, path)
    written = json.dumps(value) if isinstance(value, bool) or value is None else str(value)
    return value is not None and written == wanted.strip()


def at(body: Any, path: str) -> Any:  # noqa: ANN401
    """Return the value at a path such as `data.0.id` in JSON; None if there is none."""
    for step in path.split("."):
        if isinstance(body, dict):
            body = body.get(step)
        elif isinstance(body, list) and step.isdecimal() and int(step) < len(body):
            body = body[int(step)]
        else:
            return None
    return body


def is_of_text(rule: str) -> bool:
    """Return whether a rule uses only the status or the text, so that the body need not be JSON."""
    return rule.partition("=")[0].strip() in ("status", "text")


def read_push(
    name: str,
    described: HttpReceipts | HttpInbound,
    push: HookRequest,
    *,
    secrets: Mapping[str, str],
    charset: str,
    countries: tuple[str, ...],
    now: datetime,
) -> ReportBatch | None:
    """Read a push by its description; None if it has no entries. Raises NotSigned if the signature is wrong.

    `charset` is that of the provider's calls, the default for pushes.
    """
    text = push.body.decode(described.charset or charset, "replace")
    fields: Any
    if described.format == "json":
        fields = body = parse(text)
    else:
        query = urlsplit(push.url).query if described.format == "query" else text
        fields = body = dict(parse_qsl(query, keep_blank_values=True, encoding=described.charset or charset))
        if described.field:
            body = parse(fields.get(described.field, ""))
    if described.signed is not None:
        _check_signature(described.signed, push, text, fields, secrets)
    entries = at(body, described.list) if described.list else body or None
    return None if entries is None else read_entries(name, described, entries, countries, now)


def read_entries(
    name: str, described: HttpReceipts | HttpInbound, body: object, countries: tuple[str, ...], now: datetime
) -> ReportBatch:
    """Read one pushed or pulled entry, or a list of them, with numbers of these countries."""
    entries = body if isinstance(body, list) else [body]

    def read(entry: Mapping[str, Any], now: datetime) -> ReceiptReport | Inbound | None:
        value = at(entry, described.number)
        number = numbers.read(str(value), countries) if value else None
        if isinstance(described, HttpInbound):
            return _read_inbound(name, described, entry, number, now)
        return _read_receipt(name, described, entry, number, now)

    return read_all(entries, read, now)


def _check_signature(
    signed: PushSignature, push: HookRequest, text: str, fields: object, secrets: Mapping[str, str]
) -> None:
    by_name = fields if isinstance(fields, dict) else {}
    value = push.headers.get(signed.header.lower(), "") if signed.header else at(by_name, signed.field)
    placeholders = {str(name): str(field) for name, field in by_name.items() if isinstance(field, str | int)}
    expected, signature = compute(signed, {**placeholders, "body": text, **secrets}), str(value or "")
    if signed.form != "base64":
        expected, signature = expected.lower(), signature.lower()
    if not equals(signature, expected):
        raise NotSigned("the push is not signed as its description says")


def _read_receipt(
    name: str, described: HttpReceipts, entry: Mapping[str, Any], number: str | None, now: datetime
) -> ReceiptReport | None:
    status = at(entry, described.status)
    if status is None:
        return None
    detail = at(entry, described.detail) if described.detail else None
    fields = ReceiptFields(
        at(entry, described.id),
        number,
        str(status) in described.delivered,
        str(status),
        detail,
        _moment(described, entry, now),
    )
    report = make_report(name, fields)
    has_opted_out = not {str(status), str(detail)}.isdisjoint(described.opted_out)
    return replace(report, opted_out=True) if report is not None and has_opted_out else report


def _read_inbound(
    name: str, described: HttpInbound, entry: Mapping[str, Any], number: str | None, now: datetime
) -> Inbound | None:
    fields = InboundFields(
        number,
        at(entry, described.text),
        _moment(described, entry, now),
        at(entry, described.id) if described.id else None,
        at(entry, described.to) if described.to else None,
        at(entry, described.signature) if described.signature else None,
    )
    return make_inbound(name, fields)


def _moment(described: HttpPush, entry: Mapping[str, Any], now: datetime) -> datetime:
    return (parse_time(str(at(entry, described.time) or ""), now) if described.time else None) or now
