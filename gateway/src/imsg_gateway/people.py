"""The entries of `to`: recipients, and what a template takes of each."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from imsg_contract.wire import Recipient
from imsg_gateway.fields import read_reference
from imsg_gateway.validation_errors import recipients_wrong
from imsg_rendering.problems import MAX_PARAMS, MAX_VALUE_CHARACTERS
from imsg_web.responses import refuse_unknown_field, refuse_value

PERSONAL = ("to", "contacts", "params", "language", "reference")
"""The fields of an object in `to`."""

MAX_LANGUAGE = 16


class Person(NamedTuple):
    """An entry of `to`."""

    row: int
    """From 1, as people count."""
    params: Mapping[str, str] | None = None
    language: str | None = None
    reference: str | None = None


class People(NamedTuple):
    """The entries of `to`: their texts, and their fields for a template."""

    to: object
    by_text: Mapping[str, Person] = MappingProxyType({})
    are_members: bool = False
    """Whether they are members of groups, who may have fields that the template does not use."""


def read_people(to: object) -> People:
    """Split the entries of `to` into texts and personal fields. Raises Refusal wrong_type."""
    entries = to if isinstance(to, list) else [to]
    if not any(isinstance(entry, dict) for entry in entries):
        return People(to)
    texts: list[object] = []
    people: dict[str, Person] = {}
    for row, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            texts.append(entry)
            if isinstance(entry, str):
                people.setdefault(entry, Person(row))
            continue
        place = f"to.{row - 1}"
        text = entry.get("to")
        if not isinstance(text, str):
            raise recipients_wrong(f"{place}.to 应为收件人（字符串）", f"{place}.to must be a recipient, a string")
        if unknown := [name for name in entry if name not in PERSONAL]:
            raise refuse_unknown_field(f"{place}.{unknown[0]}", PERSONAL)
        check_language(entry.get("language"), f"{place}.language")
        texts.append({"to": text, "contacts": entry["contacts"]} if "contacts" in entry else text)
        params, reference = (
            read_params(entry.get("params"), f"{place}.params"),
            read_reference(entry, f"{place}.reference"),
        )
        people.setdefault(text, Person(row, params, entry.get("language"), reference))
    return People(texts if isinstance(to, list) else texts[0], people)


def read_members(members: Sequence[Mapping[str, Any]]) -> People:
    """Return the members of groups."""
    found = {
        member["to"]: Person(row, member["params"] or None, member["language"]) for row, member in enumerate(members, 1)
    }
    to = [
        {"to": member["to"], "contacts": member["contacts"]} if member["contacts"] else member["to"]
        for member in members
    ]
    return People(to, found, are_members=True)


def add_references(recipients: Sequence[Recipient], people: People) -> tuple[Recipient, ...]:
    """Return the recipients with the client's references of their messages."""
    if not any(person.reference for person in people.by_text.values()):
        return tuple(recipients)
    named = {to: person.reference for to, person in people.by_text.items()}
    return tuple(recipient.model_copy(update={"reference": named.get(recipient.to)}) for recipient in recipients)


def refuse_people_without_template(people: People) -> None:
    """Refuse personal fields without a template. Raises Refusal wrong_type."""
    for person in people.by_text.values():
        if person.params is not None or person.language is not None:
            zh, en = "params 和 language 只能与 template 一起使用", "params and language go with template alone"
            raise refuse_value(f"to.{person.row - 1}", zh, en)


def read_params(given: object, field: str) -> Mapping[str, str] | None:
    """Read params. Raises Refusal wrong_type."""
    if given is None:
        return None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise refuse_value(field, "必须是对象，值都是字符串", "it must be an object whose values are strings")
    if len(given) > MAX_PARAMS:
        raise refuse_value(field, f"最多 {MAX_PARAMS} 项", f"it has at most {MAX_PARAMS}")
    for name, value in given.items():
        if len(value) > MAX_VALUE_CHARACTERS:
            zh = f"最多 {MAX_VALUE_CHARACTERS} 个字符，现有 {len(value)} 个"
            en = f"at most {MAX_VALUE_CHARACTERS} characters, it has {len(value)}"
            raise refuse_value(f"{field}.{name[:64]}", zh, en)
    return given


def check_language(language: object, field: str) -> None:
    """Refuse what is no language. Raises Refusal wrong_type."""
    if language is not None and not (isinstance(language, str) and 1 < len(language) <= MAX_LANGUAGE):
        raise refuse_value(field, "应为语言代码，如 zh", "it must be a language, such as zh")
