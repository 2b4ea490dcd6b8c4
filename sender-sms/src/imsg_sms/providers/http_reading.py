"""How what a described provider says is read: answers, and what it pushes or hands out."""

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
from imsg_sms.http_settings import HttpInbound, HttpPush, HttpReceipts, Signed
from imsg_sms.providers import NotSigned, Push, Report, Reports, numbers
from imsg_sms.providers.http_filling import compute
from imsg_sms.providers.inbound import InboundFields, inbound
from imsg_sms.providers.meanings import any_moment
from imsg_sms.providers.template_provider import ReceiptFields, read_all, report


def parse(text: str) -> Any:  # noqa: ANN401  any JSON
    """Read an answer as JSON, or XML as nested objects; None where it is neither."""
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
    found: dict[str, Any] = {}
    for child in children:
        name, value = child.tag.rpartition("}")[2], _flatten(child)
        if name in found:
            found[name] = [*(found[name] if isinstance(found[name], list) else [found[name]]), value]
        else:
            found[name] = value
    return found


def is_success(rule: str, status: int, body: Any, text: str) -> bool:  # noqa: ANN401  any JSON
    """Judge an answer by the rule: `status=200`, `text=…` (its beginning), or `PATH=VALUE` in its JSON."""
    path, _, wanted = rule.partition("=")
    path = path.strip()
    if path == "status":
        return str(status) == wanted.strip()
    if path == "text":
        return text.strip().startswith(wanted.strip())
    found = at(body, path)
    written = json.dumps(found) if isinstance(found, bool) or found is None else str(found)
    return found is not None and written == wanted.strip()


def at(body: Any, path: str) -> Any:  # noqa: ANN401
    """Follow a path such as `data.0.id` into JSON; None where it leads nowhere."""
    for step in path.split("."):
        if isinstance(body, dict):
            body = body.get(step)
        elif isinstance(body, list) and step.isdecimal() and int(step) < len(body):
            body = body[int(step)]
        else:
            return None
    return body


def is_of_text(rule: str) -> bool:
    """Tell whether a rule goes by the status or the bare text, and needs nothing that can be read."""
    return rule.partition("=")[0].strip() in ("status", "text")


def read_push(
    name: str,
    described: HttpReceipts | HttpInbound,
    push: Push,
    *,
    secrets: Mapping[str, str],
    charset: str,
    countries: tuple[str, ...],
    now: datetime,
) -> Reports | None:
    """Read a push as its description says; None where it is none. Raises NotSigned where it is not signed.

    `charset` is that of the provider's calls, which holds where the push has none of its own.
    """
    text = push.body.decode(described.charset or charset, "replace")
    fields: Any
    if described.format == "json":
        fields = said = parse(text)
    else:
        query = urlsplit(push.url).query if described.format == "query" else text
        fields = said = dict(parse_qsl(query, keep_blank_values=True, encoding=described.charset or charset))
        if described.field:
            said = parse(fields.get(described.field, ""))
    if described.signed is not None:
        _check_signature(described.signed, push, text, fields, secrets)
    found = at(said, described.list) if described.list else said or None
    return None if found is None else read_entries(name, described, found, countries, now)


def read_entries(
    name: str, described: HttpReceipts | HttpInbound, said: object, countries: tuple[str, ...], now: datetime
) -> Reports:
    """Read what was pushed or handed out: one entry, or a list of them, of numbers of these countries."""
    entries = said if isinstance(said, list) else [said]

    def read(entry: Mapping[str, Any], now: datetime) -> Report | Inbound | None:
        written = at(entry, described.number)
        number = numbers.read(str(written), countries) if written else None
        if isinstance(described, HttpInbound):
            return _read_inbound(name, described, entry, number, now)
        return _read_receipt(name, described, entry, number, now)

    return read_all(entries, read, now)


def _check_signature(signed: Signed, push: Push, text: str, fields: object, secrets: Mapping[str, str]) -> None:
    known = fields if isinstance(fields, dict) else {}
    given = push.headers.get(signed.header.lower(), "") if signed.header else at(known, signed.field)
    values = {str(name): str(value) for name, value in known.items() if isinstance(value, str | int)}
    wanted = compute(signed, {**values, "body": text, **secrets})
    said = str(given or "")
    if signed.form != "base64":
        said, wanted = said.lower(), wanted.lower()
    if not equals(said, wanted):
        raise NotSigned("the push is not signed as its description says")


def _read_receipt(
    name: str, described: HttpReceipts, entry: Mapping[str, Any], number: str | None, now: datetime
) -> Report | None:
    status = at(entry, described.status)
    if status is None:
        return None
    detail = at(entry, described.detail) if described.detail else None
    found = ReceiptFields(
        at(entry, described.id),
        number,
        str(status) in described.delivered,
        str(status),
        detail,
        _moment(described, entry, now),
    )
    read = report(name, found)
    has_opted_out = not {str(status), str(detail)}.isdisjoint(described.opted_out)
    return replace(read, opted_out=True) if read is not None and has_opted_out else read


def _read_inbound(
    name: str, described: HttpInbound, entry: Mapping[str, Any], number: str | None, now: datetime
) -> Inbound | None:
    written = InboundFields(
        number,
        at(entry, described.text),
        _moment(described, entry, now),
        at(entry, described.id) if described.id else None,
        at(entry, described.to) if described.to else None,
        at(entry, described.signature) if described.signature else None,
    )
    return inbound(name, written)


def _moment(described: HttpPush, entry: Mapping[str, Any], now: datetime) -> datetime:
    return (any_moment(str(at(entry, described.time) or ""), now) if described.time else None) or now
