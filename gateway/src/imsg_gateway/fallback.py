"""The fields of a fallback: other channels, in order, for recipients that the ones before have not reached."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from imsg_channels import BY_NAME, METHODS
from imsg_channels.spec import ChannelSpec
from imsg_contract.errors import Refusal
from imsg_contract.wire import Status, Until
from imsg_gateway.validation_errors import recipients_wrong
from imsg_web.responses import refuse_unknown_field, refuse_value

MAX_LEGS = 3
MIN_S, MAX_S = 60, 86_400

LEG_FIELDS = ("method", "after_s", "until", "content", "template", "params")
PERSON_FIELDS = ("to", "contacts")


class LegFields(NamedTuple):
    """One further leg, as a client describes it."""

    field: str
    """Its name, such as `fallback.0`."""
    method: ChannelSpec
    after_s: int
    until: Until
    content: object
    """None where `template` is named."""
    template: object = None
    params: object = None
    """What the template takes, beside the params of the request and of each recipient."""

    def name(self, refusal: Refusal) -> Refusal:
        """Return a refusal of one of the leg's fields under the field's whole name."""
        named = str(refusal.values.get("field", "content" if refusal.reason == "content_shape" else ""))
        if named.split(".", maxsplit=1)[0] not in LEG_FIELDS:
            return refusal
        zh, en = str(refusal.values["why_zh"]), str(refusal.values["why_en"])
        return refuse_value(f"{self.field}.{named}", zh, en)


def read_fallback(fields: Mapping[str, Any]) -> tuple[LegFields, ...]:
    """Return the further legs. Raises Refusal wrong_type, unknown_field."""
    given = fields.get("fallback")
    if given is None:
        if fields.get("until") is not None:
            raise refuse_value("until", "只与 fallback 一起使用", "it goes with fallback alone")
        return ()
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_LEGS:
        raise refuse_value("fallback", f"应为 1 到 {MAX_LEGS} 项的列表", f"it must be a list of 1 to {MAX_LEGS}")
    return tuple(_read_leg(f"fallback.{number}", leg) for number, leg in enumerate(given))


def _read_leg(field: str, leg: object) -> LegFields:
    if not isinstance(leg, dict):
        raise refuse_value(field, "应为对象", "it must be an object")
    if unknown := next((name for name in leg if name not in LEG_FIELDS), None):
        raise refuse_unknown_field(f"{field}.{unknown}", LEG_FIELDS)
    name, after_s = leg.get("method"), leg.get("after_s")
    method = BY_NAME.get(name) if isinstance(name, str) else None
    if method is None:
        raise refuse_value(
            f"{field}.method", f"应为 {'、'.join(METHODS)} 之一", f"it must be one of {', '.join(METHODS)}"
        )
    if not isinstance(after_s, int) or isinstance(after_s, bool) or not MIN_S <= after_s <= MAX_S:
        raise refuse_value(
            f"{field}.after_s",
            f"应为 {MIN_S} 到 {MAX_S} 的整数（秒）",
            f"it must be an integer from {MIN_S} to {MAX_S}, in seconds",
        )
    template, words = leg.get("template"), leg.get("content")
    if template is None and words is None:
        raise refuse_value(
            f"{field}.content", "请填写这一步的内容或模板", "give the content of this leg, or a template"
        )
    until = read_until(leg, method, f"{field}.until")
    return LegFields(field, method, after_s, until, words, template, leg.get("params"))


def read_until(fields: Mapping[str, Any], method: ChannelSpec, name: str) -> Until:
    """Return when a leg has reached a person: by default as its channel has it.

    Raises Refusal wrong_type.
    """
    match fields.get("until"):
        case None:
            return method.reaches_at
        case "sent":
            return "sent"
        case "delivered" if Status.DELIVERED in method.receipts:
            return "delivered"
        case "delivered":
            zh, en = (
                f"{method.name} 没有送达的状态报告，只能是 sent",
                f"{method.name} reports no delivery; it must be sent",
            )
        case _:
            zh, en = "应为 sent 或 delivered", "it must be sent or delivered"
    raise refuse_value(name, zh, en)


def split_contacts(to: object, *, is_wanted: bool) -> tuple[object, Mapping[str, Mapping[str, str]]]:
    """Return `to` and the contacts of each recipient, method → address; without a fallback `to` unchanged.

    Objects are replaced by their `to`.

    Raises Refusal recipients_invalid, unknown_field.
    """
    contacts: dict[str, Mapping[str, str]] = {}
    if not is_wanted:
        return to, contacts
    people = to if isinstance(to, list) else [to]
    plain = [_read_person(person, contacts) if isinstance(person, dict) else person for person in people]
    return (plain if isinstance(to, list) else plain[0]), contacts


def _read_person(person: Mapping[str, Any], contacts: dict[str, Mapping[str, str]]) -> object:
    if unknown := next((name for name in person if name not in PERSON_FIELDS), None):
        raise refuse_unknown_field(f"to.{unknown}", PERSON_FIELDS)
    to, given = person.get("to"), person.get("contacts") or {}
    if not isinstance(to, str) or not isinstance(given, dict):
        raise recipients_wrong("应为 {to, contacts}", "it must be {to, contacts}")
    read: dict[str, str] = {}
    for name, text in given.items():
        method = BY_NAME.get(name)
        address = method.address.read(text) if method is not None and isinstance(text, str) else None
        if method is None or address is None:
            shown = f"{name}: {text}"[:64].replace("\0", "")
            raise recipients_wrong(f"contacts 中的 {shown} 不正确", f"{shown} in contacts is not right")
        read[name] = address
    contacts[to] = read
    return to
