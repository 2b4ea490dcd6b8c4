"""The members of groups, and how their addresses are read."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from imsg_channels import BY_NAME, CHANNELS, METHODS
from imsg_channels.one_line import has_control
from imsg_channels.spec import BilingualText, ChannelSpec
from imsg_contract.addresses import identity
from imsg_contract.mentions import find_mentions

TO = "to"
"""In `contacts`: the name of a user, or of what else each channel knows by a name."""

MAX_USERNAME = 64


@dataclass(frozen=True, slots=True)
class Member:
    """One person of a group."""

    n: int
    """It orders the members of a group; 0 until the member is kept."""
    contacts: Mapping[str, str]
    """Method → address; a name under `TO`."""
    params: Mapping[str, str]
    since_ms: int
    language: str | None = None
    consent_ms: int | None = None
    consent_source: str | None = None

    @property
    def people(self) -> tuple[str, ...]:
        """The keys of its addresses within the group."""
        return tuple(_make_key(method, address) for method, address in self.contacts.items())

    @property
    def addresses(self) -> Iterable[str]:
        """Its addresses in their normal forms, without names of users."""
        return (_parse(method, text) for method, text in self.contacts.items() if method != TO)

    def find_mentions(self) -> set[str]:
        """Return the addresses that its fields mention."""
        fields = (*self.params, *self.params.values(), self.consent_source or "")
        return find_mentions("\n".join(fields))

    def erase(self, is_erased: Callable[[str], bool]) -> "Member | None":
        """Return what is kept once some addresses are erased: of their owner nothing, of others no field with one."""
        if any(map(is_erased, self.addresses)):
            return None
        if not any(map(is_erased, self.find_mentions())):
            return self
        params = {
            name: value
            for name, value in self.params.items()
            if not any(map(is_erased, find_mentions(f"{name}\n{value}")))
        }
        is_named = any(map(is_erased, find_mentions(self.consent_source or "")))
        return replace(self, params=params, consent_source=None if is_named else self.consent_source)

    def find_recipient(self, method: str) -> str | None:
        """Return the address or username that a send by this method uses; None where the person has none."""
        return self.contacts.get(method) or self.contacts.get(TO)


def read_contacts(to: str | None, contacts: Mapping[str, str] | None) -> dict[str, str] | BilingualText:
    """Return the addresses of a member, or what is wrong with them."""
    if (to is None) == (not contacts):
        return BilingualText("应填写 to 或 contacts 之一", "it must have either to or contacts")
    if to is not None:
        return _read_to(to.strip())
    found: dict[str, str] = {}
    for method, text in (contacts or {}).items():
        if (channel := BY_NAME.get(method)) is None:
            return BilingualText(
                f"contacts 的键只能是 {'、'.join(METHODS)}", f"the keys of contacts are {', '.join(METHODS)}"
            )
        if (address := _read(channel, text.strip())) is None:
            return _explain(channel, text)
        found[method] = address
    return found


def find_person(text: str) -> list[str]:
    """Return the keys that an address or a name may have within a group."""
    text = text.strip()
    spellings = [(channel.name, channel.address.read(text)) for channel in CHANNELS]
    return [f"{method}:{identity(_bare(method, text))}" for method, read in spellings if read] + [f"{TO}:{text}"]


def _read_to(text: str) -> dict[str, str] | BilingualText:
    apart = [channel for channel in CHANNELS if channel.address.usernames != "any"]
    for channel in apart:
        if (address := _read(channel, text)) is not None:
            return {channel.name: address}
    for channel in apart:
        if channel.address.find_spelling(text) is not None:
            return _explain(channel, text)
    if (
        not 1 <= len(text) <= MAX_USERNAME
        or has_control(text)
        or any(channel.address.is_malformed(text) for channel in apart)
    ):
        names = [channel.address.label for channel in apart]
        return BilingualText(
            f"既不是{'、'.join(name.zh for name in names)}，也不是用户名",
            f"it is no {', no '.join(name.en for name in names)} and no username",
        )
    return {TO: text}


def _read(channel: ChannelSpec, text: str) -> str | None:
    """Return the stored form of an address: its normal form, or the text with its display name."""
    if "\0" in text or channel.address.read(text) is None:
        return None
    return channel.address.parse(text) or text


def _explain(channel: ChannelSpec, text: str) -> BilingualText:
    if (meant := channel.address.find_spelling(text)) is not None:
        return BilingualText(f"{meant.zh}，请写成 {meant.wanted}", f"{meant.en}; write {meant.wanted}")
    return channel.address.error


def _make_key(method: str, text: str) -> str:
    return f"{method}:{identity(_parse(method, text))}"


def _parse(method: str, text: str) -> str:
    return text if method == TO else _bare(method, text)


def _bare(method: str, text: str) -> str:
    """Return the normal form of an address, without its display name."""
    read = BY_NAME[method].address.read(text)
    return text if read is None else read


def write_json(fields: Mapping[str, str]) -> str:
    """Return JSON for a column, with Chinese unescaped so that a search finds it."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
