"""From the fields of POST /api/send to a draft: everything checked, nothing accepted yet."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from imsg_channels import BY_NAME, content, refuse_method
from imsg_channels.content import Templates
from imsg_channels.spec import ChannelSpec
from imsg_channels.templates import fill
from imsg_contract.api_keys import SEND
from imsg_contract.errors import Refusal
from imsg_contract.wire import Category, Content, Recipient
from imsg_gateway.attachments import FIELDS as FILE_FIELDS
from imsg_gateway.attachments import File, Files, has_any
from imsg_gateway.credentials import Credential
from imsg_gateway.fields import (
    SENDER_FIELDS,
    add_names,
    read_category,
    read_life,
    read_names,
    read_provider,
    read_reference,
)
from imsg_gateway.published_names import PublishedNames
from imsg_gateway.recipients import MAX_NAME_CHARACTERS, MAX_NAMED, Found, Recipients
from imsg_gateway.request import has_nul
from imsg_gateway.routed_limits import Group, RoutedLimits
from imsg_gateway.validation_errors import (
    attachment_wrong,
    content_wrong,
    recipients_wrong,
)
from imsg_web.responses import refuse_unknown_field, refuse_value

REQUIRED = ("to", "method", "content")
OWN_CODES = ("to", "method", "content", "attachment")
"""Fields that answer every defect with a code of their own, U+0000 included."""


Counted = Sequence[tuple[Group, Templates | None]]
"""Recipients, and the templates of whoever carries what they get."""

Find = Callable[[object, ChannelSpec, str | None, Credential], Awaitable[Found]]
"""Finds whom `to` means: refusing, or telling who can't be sent to."""


class Draft(NamedTuple):
    """What is to be sent to whom, checked."""

    method: ChannelSpec
    account: str | None
    recipients: tuple[Recipient, ...]
    content: Content
    files: tuple[File, ...] = ()
    segments: int | None = None
    """Of one message, the dearest."""
    total_segments: int | None = None
    resend_of: str | None = None
    reference: str | None = None
    """What the client calls it."""
    category: Category = Category.NOTICE
    life: timedelta | None = None
    """How long it is tried, where that is not as long as its method has it."""
    provider: str | None = None
    """The one that may carry it."""

    @property
    def sender(self) -> str | None:
        """The sender that a mail is to come from, by its name; None: the default one."""
        named = self.content.get("sender") if self.method.has_senders and isinstance(self.content, dict) else None
        return named if isinstance(named, str) else None


class DraftReader:
    """Checks the fields in the order the interface promises."""

    def __init__(
        self,
        recipients: Recipients,
        files: Files,
        limits: RoutedLimits,
        names: PublishedNames,
        accounts: tuple[str, ...],
    ) -> None:
        self._recipients = recipients
        self._files = files
        self._limits = limits
        self._names = names
        self._accounts = accounts

    async def read(
        self, fields: Mapping[str, Any], credential: Credential, *, may_have_nul: bool, is_v2: bool
    ) -> Draft:
        """Check a request's fields. Raises Refusal; ServiceUnavailable, RedisUnavailable where somebody can't be asked.

        What nobody reads inside `content` and `attachment` is ignored in v1 and refused in v2.
        """
        draft, found = await self._read(
            fields, credential, self._recipients.find, may_have_nul=may_have_nul, is_v2=is_v2
        )
        if found.left:
            raise Refusal("not_following", who=", ".join(found.left[:MAX_NAMED]))
        return draft

    async def check(
        self, fields: Mapping[str, Any], credential: Credential, *, may_have_nul: bool
    ) -> tuple[Draft, Found]:
        """Check as above, of v2, and return what could be sent, and who of `to` could not be sent to and why."""
        examine = self._recipients.examine
        return await self._read(fields, credential, examine, may_have_nul=may_have_nul, is_v2=True)

    async def _read(
        self, fields: Mapping[str, Any], credential: Credential, find: Find, *, may_have_nul: bool, is_v2: bool
    ) -> tuple[Draft, Found]:
        for name in REQUIRED:
            if fields.get(name) is None:
                raise Refusal("missing", field=name)
        method = _method(fields["method"])
        await credential.require(f"{SEND}{method.name}")
        if may_have_nul:
            _refuse_nul(fields)
        account = self._account(fields.get("account"), method)
        reference, category, life, names = None, Category.NOTICE, None, dict[str, str]()
        provider = await _read_provider(fields, credential) if is_v2 and "provider" in fields else None
        if is_v2:
            reference, category = read_reference(fields), read_category(fields)
            life, names = read_life(fields, category), read_names(fields, method)
            await self._check_names(method, {**names, "provider": provider}, credential)
        found = await find(fields["to"], method, account, credential)
        if category is Category.CODE and len(found.recipients) > 1:
            raise recipients_wrong(
                "category 为 code 时只能有一个收件人；请为每个收件人各发一次请求",
                "with category code there is one recipient; send a request for each",
            )
        attachment = fields.get("attachment")
        if may_have_nul and has_nul(fields["content"]):
            raise content_wrong("不能含 U+0000", "it must not hold U+0000")
        if is_v2:
            _refuse_strays(fields, method)
        given = fields["content"] if is_v2 else content.keep_known(method.content, fields["content"])
        groups = await self._limits.group(method, found.recipients, given, category, provider)
        checked, counted = _check(method, given, groups, has_attachment=has_any(attachment))
        checked = add_names(checked, names)
        if has_any(attachment) and not method.has_attachments:
            raise attachment_wrong(f"{method.name} 不支持附件", f"{method.name} takes none")
        if may_have_nul and has_nul(attachment):
            raise attachment_wrong("不能含 U+0000", "it must not hold U+0000")
        files = await self._files.read(attachment)
        draft = Draft(
            method,
            account,
            found.recipients,
            checked,
            files,
            reference=reference,
            category=category,
            life=life,
            provider=provider,
        )
        return _count(draft, counted), found

    async def again(self, draft: Draft, username: str) -> Draft:
        """Complete a draft of a user's that was read from history by what holds now.

        Raises Refusal wrong_type, may_not_send_by where a name of it is none any more.
        """
        method = draft.method
        if method.has_senders and isinstance(draft.content, dict):
            names = {field: draft.content[field] for field in SENDER_FIELDS if draft.content.get(field)}
            await self._names.check(method.name, names, username)
        groups = await self._limits.group(method, draft.recipients, draft.content, draft.category, draft.provider)
        return _count(draft, [(group, group.find_taker(method, draft.content)) for group in groups])

    async def _check_names(self, method: ChannelSpec, names: Mapping[str, str | None], credential: Credential) -> None:
        """Refuse names that the channel has not; who has no token that holds is not told which it has."""
        given = {field: name for field, name in names.items() if name is not None}
        try:
            await self._names.check(method.name, given, credential.username)
        except Refusal:
            await credential.authenticate()
            raise

    def _account(self, account: object, method: ChannelSpec) -> str | None:
        if account is not None and not isinstance(account, str):
            raise refuse_value(
                "account", "必须是公众号的名字（字符串）", "it must be a string, an official account's name"
            )
        if not method.has_accounts:
            return None
        if not self._accounts or (account is not None and account not in self._accounts):
            raise Refusal("no_such_account", account=(account or "")[:64])
        return account


async def _read_provider(fields: Mapping[str, Any], credential: Credential) -> str | None:
    """Read who alone may carry it, which administrators may say. Raises Refusal no_right, wrong_type."""
    provider = read_provider(fields)
    if provider is not None and not (await credential.authenticate()).is_admin:
        raise Refusal("no_right")
    return provider


def _check(
    method: ChannelSpec, given: object, groups: Sequence[Group], *, has_attachment: bool
) -> tuple[Content, Counted]:
    """Check a content by whoever may carry it to each recipient; return it and by whose templates each is counted.

    Raises Refusal content_shape, which names a recipient where others could have it.
    """
    taken: list[Content] = []
    counted: list[tuple[Group, Templates | None]] = []
    refused: list[tuple[Group, Refusal]] = []
    for group in groups:
        try:
            checked, templates = group.read(method, given, has_attachment=has_attachment)
        except Refusal as refusal:
            refused.append((group, refusal))
        else:
            taken.append(checked)
            counted.append((group, templates))
    if not refused:
        return taken[0], counted
    group, first = refused[0]
    if not taken and all(one.values == first.values for _, one in refused):
        raise first
    to = group.recipients[0].to[:MAX_NAME_CHARACTERS]
    raise content_wrong(f"发往 {to} 时，{first.values['why_zh']}", f"to {to}, {first.values['why_en']}") from first


def _count(draft: Draft, counted: Counted) -> Draft:
    """Count the segments where the method has them and the words are known."""
    count = draft.method.segments
    if count is None:
        return draft
    found = []
    for group, templates in counted:
        if (text := fill(draft.content, templates or {})) is None:
            return draft
        found.append(count(text, [recipient.address for recipient in group.recipients]))
    return draft._replace(segments=max(one.dearest for one in found), total_segments=sum(one.total for one in found))


def _method(method: object) -> ChannelSpec:
    if not isinstance(method, str) or (found := BY_NAME.get(method)) is None:
        raise refuse_method()
    return found


def _refuse_nul(fields: Mapping[str, Any]) -> None:
    """Refuse U+0000 in what is not checked by itself, unknown fields included: nothing may carry it anywhere."""
    for name, value in fields.items():
        if name not in OWN_CODES and (has_nul(name) or has_nul(value)):
            shown = name.replace("\0", "")
            raise refuse_value(shown, "不能含 U+0000", "it must not hold U+0000")


def _refuse_strays(fields: Mapping[str, Any], method: ChannelSpec) -> None:
    """Refuse what nobody reads beside what is read, inside `content` and `attachment`.

    Where nothing is read, or U+0000 stands, the whole is of a wrong shape, and has its own sentence and code.
    """
    attachment = fields.get("attachment")
    known: Sequence[str] = content.fields(method.content)
    for field, values in (
        ("content", [fields["content"]]),
        ("attachment", attachment if isinstance(attachment, list) else [attachment]),
    ):
        for value in values:
            if not isinstance(value, dict):
                continue
            strays = [name for name in value if name not in known]
            if strays and len(strays) < len(value) and not has_nul(value):
                raise refuse_unknown_field(f"{field}.{strays[0]}", known)
        known = FILE_FIELDS
