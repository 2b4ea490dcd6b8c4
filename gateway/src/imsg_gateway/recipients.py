"""The recipients of a request: reads addresses, looks up usernames, drops duplicates, names what is wrong."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from imsg_channels import CHANNELS
from imsg_channels.one_line import has_control
from imsg_channels.spec import ChannelSpec
from imsg_contract.addresses import identity
from imsg_contract.errors import Refusal
from imsg_contract.magic_recipients import exists_for_tests
from imsg_contract.wire import Recipient
from imsg_gateway.credentials import Credential
from imsg_gateway.followers import Followers, FollowerState
from imsg_gateway.published_addresses import PublishedAddresses
from imsg_gateway.validation_errors import recipients_wrong
from imsg_limits.quota import Counters
from imsg_web.callers import Caller
from imsg_web.service_client import Peer, ServiceFailed

SLICE = 100
"""The recipients that are checked before other tasks run: 10,000 would block the event loop for 187 ms."""

PER_TURN = 500
"""The recipients that are made before other tasks run, in some 8 ms."""

NAMES_PER_CALL = 10_000
"""The usernames of one call to auth. Only a list beyond IMSG_MAX_RECIPIENTS' default needs several."""

MAX_NAMED = 20
MAX_NAME_CHARACTERS = 64
MAX_UNKNOWN_AN_HOUR = 100
HOUR_S = 3_600


@dataclass(frozen=True, slots=True)
class WrongRecipient:
    """A recipient that nothing can be sent to, and why."""

    text: str
    zh: str
    en: str
    is_unknown: bool = False
    """Whether it may be a guess. Guesses are counted, so that usernames and tags cannot be found by trying."""


class FoundRecipients(NamedTuple):
    """The recipients of `to`, numbered."""

    recipients: tuple[Recipient, ...]
    unfollowed: tuple[str, ...] = ()
    """Those among them, as written, who no longer follow the official account."""
    wrong: tuple[WrongRecipient, ...] = ()
    """The entries of `to` that are no recipients."""
    duplicates: int = 0
    accounts: Mapping[str, str] = MappingProxyType({})
    """The official account that each address follows, where it is known."""


class Recipients:
    """Resolves `to`."""

    def __init__(
        self,
        auth: Peer,
        followers: Followers,
        published: PublishedAddresses,
        counters: Counters,
        max_recipients: int,
    ) -> None:
        self._auth = auth
        self._followers = followers
        self._published = published
        self._counters = counters
        self._max = max_recipients

    async def find(
        self, to: object, method: ChannelSpec, account: str | None, credential: Credential, *, is_v2: bool
    ) -> FoundRecipients:
        """Return the recipients of `to`. The caller's credential is verified before any look-up.

        v2 takes an e-mail address behind a display name, too.
        Raises Refusal recipients_invalid, too_many_tries; ServiceUnavailable, RedisUnavailable.
        """
        texts = self._texts(to)
        addresses, wrong = await self._addresses(texts, method, is_v2=is_v2)
        if wrong:
            raise _refusal(wrong)
        found = await self._resolve(texts, addresses, method, account, credential)
        if found.wrong:
            raise _refusal(found.wrong)
        return found

    async def examine(
        self, to: object, method: ChannelSpec, account: str | None, credential: Credential, *, is_v2: bool
    ) -> FoundRecipients:
        """Return the recipients of `to` as `find` does, and list the wrong ones instead of refusing them.

        Malformed addresses come first in the list, unknown usernames and tags last.

        A check costs nothing. So only administrators learn from it that a username and an address are one person:
        other users could compare ten thousand numbers a call with a colleague's.
        Raises Refusal recipients_invalid where `to` is no list of strings, or too long; else as `find`.
        """
        texts = self._texts(to)
        addresses, wrong = await self._addresses(texts, method, is_v2=is_v2)
        malformed = {problem.text for problem in wrong}
        sound = [text for text in texts if text not in malformed]
        found = await self._resolve(sound, addresses, method, account, credential, is_sent=False)
        return found._replace(wrong=tuple(sorted((*wrong, *found.wrong), key=lambda problem: problem.is_unknown)))

    async def find_others(
        self,
        recipients: Sequence[Recipient],
        method: ChannelSpec,
        other: ChannelSpec,
        contacts: Mapping[str, Mapping[str, str]],
    ) -> tuple[Recipient, ...]:
        """Return those of the recipients of a method who have an address of another, by the same numbers.

        `contacts` are those that clients give, by what they wrote; a username's are known. Raises ServiceUnavailable.
        """
        addresses: dict[str, str | None] = {
            recipient.to: contacts.get(recipient.to, {}).get(other.name) for recipient in recipients
        }
        names = [to for to, address in addresses.items() if address is None and method.address.read(to) is None]
        if names and other.contact is not None:
            await self._add_contacts(names, addresses, other)
        if method is other:
            addresses |= {
                recipient.to: recipient.address for recipient in recipients if addresses[recipient.to] is None
            }
        return tuple(
            Recipient(n=recipient.n, to=recipient.to, address=address, reference=recipient.reference)
            for recipient in recipients
            if (address := addresses[recipient.to]) is not None
        )

    async def _addresses(
        self, texts: Sequence[str], method: ChannelSpec, *, is_v2: bool
    ) -> tuple[dict[str, str | None], list[WrongRecipient]]:
        """Parse each text as an address: None where it may be a username. List the texts that can be neither."""
        read = method.address.read if is_v2 else method.address.parse
        addresses: dict[str, str | None] = {}
        wrong: dict[str, WrongRecipient] = {}
        for at in range(0, len(texts), SLICE):
            if at:
                await asyncio.sleep(0)
            for text in texts[at : at + SLICE]:
                addresses[text] = read(text)
                if addresses[text] is None and (problem := _explain_malformed(text, method)):
                    wrong[text] = problem
        return addresses, list(wrong.values())

    async def _resolve(
        self,
        texts: Sequence[str],
        addresses: dict[str, str | None],
        method: ChannelSpec,
        account: str | None,
        credential: Credential,
        *,
        is_sent: bool = True,
    ) -> FoundRecipients:
        """Return the recipients of usernames and addresses; count names that are unknown, to limit guesses."""
        names = list(dict.fromkeys(text for text in texts if addresses[text] is None))
        if not names and not method.has_accounts and not method.publishes_addresses:
            return await _number(texts, addresses)
        caller = await credential.authenticate()
        await self._check_tries(caller)
        wrong = await self._add_contacts(names, addresses, method) if names else []
        found = await _number(texts, addresses, apart=() if is_sent or caller.sees_all else names)
        if method.has_accounts:
            found, unknown_tags = await self._check_following(found, account, is_test=credential.is_test)
            wrong += unknown_tags
        if method.publishes_addresses:
            found, unpublished = await self._check_published(found, method, is_test=credential.is_test)
            wrong += unpublished
        if unknown := sum(problem.is_unknown for problem in wrong):
            # The check that exceeds the bound is still answered: it names a hundred problems at most.
            await self._count_tries(caller, unknown, spare=0 if is_sent else unknown - 1)
        return found._replace(wrong=tuple(wrong))

    def _texts(self, to: object) -> Sequence[str]:
        if isinstance(to, str):
            return (to,)
        if not isinstance(to, list):
            raise recipients_wrong("to 必须是字符串或列表", "to must be a string or a list")
        if not to:
            raise recipients_wrong("列表是空的", "the list is empty")
        if len(to) > self._max:
            raise recipients_wrong(
                f"一次最多 {self._max} 个，现有 {len(to)} 个；请分批发送",
                f"there may be {self._max} at once, these are {len(to)}; send in several requests",
            )
        if any(not isinstance(text, str) for text in to):
            raise recipients_wrong("列表里只能是字符串", "the list may hold strings only")
        return to

    async def _add_contacts(
        self, names: list[str], addresses: dict[str, str | None], method: ChannelSpec
    ) -> list[WrongRecipient]:
        """Add the contacts of these users to `addresses`; return the names without a contact."""
        contacts: dict[str, str | None] = {}
        for at in range(0, len(names), NAMES_PER_CALL):
            lookup = {"method": method.name, "names": names[at : at + NAMES_PER_CALL]}
            answer = await self._auth.call("POST", "/internal/contacts", json=lookup)
            if answer.status_code != 200:  # noqa: PLR2004  HTTP's own number
                raise ServiceFailed(f"auth answered {answer.status_code} to /internal/contacts")
            contacts |= answer.json()["contacts"]
        wrong, label = [], method.address.label
        for number, name in enumerate(names, 1):
            if number % SLICE == 0:
                await asyncio.sleep(0)
            if name not in contacts and (misspelt := _explain_misspelt(name, method)):
                wrong.append(misspelt)
            elif name not in contacts and method.address.is_malformed(name):
                wrong.append(WrongRecipient(name, method.address.error.zh, method.address.error.en))
            elif name not in contacts:
                zh, en = f"不是{label.zh}，也没有这个用户", f"no {label.en}, and no such user"
                wrong.append(WrongRecipient(name, zh, en, is_unknown=True))
            elif contacts[name] is None:
                wrong.append(WrongRecipient(name, f"此用户没有{label.zh}", f"a user without {label.en}"))
            else:
                addresses[name] = contacts[name]
        return wrong

    async def _check_following(
        self, found: FoundRecipients, account: str | None, *, is_test: bool
    ) -> tuple[FoundRecipients, list[WrongRecipient]]:
        followings = await self._followers.find([recipient.address for recipient in found.recipients], account)
        unfollowed, wrong = [], []
        for recipient, following in zip(found.recipients, followings, strict=True):
            if is_test and exists_for_tests("wechat", recipient.address):
                continue
            match following.state:
                case FollowerState.UNFOLLOWED:
                    unfollowed.append(recipient.to)
                case FollowerState.OTHER_ACCOUNT:
                    wrong.append(WrongRecipient(recipient.to, "属于另一个公众号", "it is another account's"))
                case FollowerState.UNKNOWN:
                    wrong.append(WrongRecipient(recipient.to, "没有这个标记", "no such tag", is_unknown=True))
                case FollowerState.FOLLOWS:
                    pass
        dropped = {problem.text for problem in wrong}
        recipients = tuple(recipient for recipient in found.recipients if recipient.to not in dropped)
        accounts = {
            recipient.address: name
            for recipient, following in zip(found.recipients, followings, strict=True)
            if (name := following.account or account) is not None
        }
        return found._replace(recipients=recipients, unfollowed=tuple(unfollowed), accounts=accounts), wrong

    async def _check_published(
        self, found: FoundRecipients, method: ChannelSpec, *, is_test: bool
    ) -> tuple[FoundRecipients, list[WrongRecipient]]:
        addresses = [recipient.address for recipient in found.recipients]
        unknown = await self._published.find_unknown(method.name, addresses)
        if is_test:
            unknown = {address for address in unknown if not exists_for_tests(method.name, address)}
        label = method.address.label
        wrong = [
            WrongRecipient(recipient.to, f"没有这个{label.zh}", f"no such {label.en}", is_unknown=True)
            for recipient in found.recipients
            if recipient.address in unknown
        ]
        known = tuple(recipient for recipient in found.recipients if recipient.address not in unknown)
        return found._replace(recipients=known), wrong

    async def _check_tries(self, caller: Caller) -> None:
        await self._count_tries(caller, 0)

    async def _count_tries(self, caller: Caller, unknown: int, spare: int = 0) -> None:
        """Count wrong guesses. Raises Refusal too_many_tries beyond the bound and `spare`."""
        tries = await self._counters.add(f"unknown:{caller.user_id}", unknown, HOUR_S)
        if tries.count > MAX_UNKNOWN_AN_HOUR + spare:
            after = max(1, round(tries.ends_in_s))
            raise Refusal(
                "too_many_tries",
                what_zh="一小时内不认识的收件人（用户名或标记）",
                what_en="unknown usernames or tags within an hour",
                after=after,
                retry_after_s=after,
            )


def _explain_malformed(text: str, method: ChannelSpec) -> WrongRecipient | None:
    """Return why a text that is no address of the method cannot be a username either; None if it may be one."""
    for other in CHANNELS:
        is_apart = other is not method and other.address.usernames != "any"
        if is_apart and other.address.parse(text) is not None:
            zh = f"是{other.address.label.zh}，不是{method.address.label.zh}"
            return WrongRecipient(text, zh, f"{other.address.label.en} instead of {method.address.label.en}")
    if not 1 <= len(text) <= MAX_NAME_CHARACTERS or ":" in text or "/" in text or has_control(text):
        if misspelt := _explain_misspelt(text, method):
            return misspelt
        zh, en = f"既不是{method.address.label.zh}，也不是用户名", f"neither {method.address.label.en} nor username"
        return WrongRecipient(text, zh, en)
    return None


def _explain_misspelt(text: str, method: ChannelSpec) -> WrongRecipient | None:
    """Return how to write the address that a text obviously means; None if it means none."""
    spelling = method.address.find_spelling(text)
    if spelling is None:
        return None
    return WrongRecipient(text, f"{spelling.zh}，请写成 {spelling.wanted}", f"{spelling.en}; write {spelling.wanted}")


async def _number(
    texts: Sequence[str], addresses: Mapping[str, str | None], apart: Collection[str] = ()
) -> FoundRecipients:
    """Return numbered recipients. Texts of one address are one person, except the usernames in `apart`."""
    if len(texts) == 1:  # as in most requests: there are no duplicates
        address = addresses[texts[0]]
        return FoundRecipients(() if address is None else (Recipient(n=0, to=texts[0], address=address),))
    alone = frozenset(apart)
    first: dict[str, tuple[str, str]] = {}
    known = [(address, text) for text in texts if (address := addresses[text]) is not None]
    for number, (address, text) in enumerate(known, 1):
        if number % PER_TURN == 0:
            await asyncio.sleep(0)
        first.setdefault(f":{text}" if text in alone else identity(address), (address, text))
    recipients: list[Recipient] = []
    for n, (address, text) in enumerate(first.values()):
        if n % PER_TURN == PER_TURN - 1:
            await asyncio.sleep(0)
        recipients.append(Recipient(n=n, to=text, address=address))
    return FoundRecipients(tuple(recipients), duplicates=len(known) - len(recipients))


def _refusal(wrong: Sequence[WrongRecipient]) -> Refusal:
    named = wrong[:MAX_NAMED]
    rest = len(wrong) - len(named)
    zh = "、".join(f"{_short(recipient.text)}（{recipient.zh}）" for recipient in named)
    en = ", ".join(f"{_short(recipient.text)} ({recipient.en})" for recipient in named)
    return recipients_wrong(
        zh + (f"等，共 {len(wrong)} 个" if rest else ""), en + (f" and {rest} more" if rest else "")
    )


def _short(text: str) -> str:
    return f"“{text[:MAX_NAME_CHARACTERS]}”" if len(text) <= MAX_NAME_CHARACTERS else f"“{text[:MAX_NAME_CHARACTERS]}…”"
