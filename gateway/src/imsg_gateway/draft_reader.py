"""Checks the fields of a send and makes a draft of them: nothing is accepted yet."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from imsg_channels import BY_NAME, content, refuse_method
from imsg_channels.spec import ChannelSpec
from imsg_contract.api_keys import SEND
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_contract.roles import refuse_role
from imsg_contract.wire import Category, Content
from imsg_gateway.attachments import FIELDS as FILE_FIELDS
from imsg_gateway.attachments import Files, has_any
from imsg_gateway.credentials import Credential
from imsg_gateway.draft import Draft, LegDraft, count_segments
from imsg_gateway.fallback import LegFields, read_fallback, read_until, split_contacts
from imsg_gateway.fields import (
    LIFETIME_OF_CODES,
    SENDER_FIELDS,
    add_names,
    drop_names,
    read_category,
    read_due_at,
    read_lifetime,
    read_names,
    read_provider,
    read_reference,
)
from imsg_gateway.followers import ListAccounts
from imsg_gateway.groups import Groups
from imsg_gateway.people import People, add_references, read_members, read_people, refuse_people_without_template
from imsg_gateway.published_names import PublishedNames
from imsg_gateway.recipients import MAX_NAMED, FoundRecipients, Recipients
from imsg_gateway.request import has_nul
from imsg_gateway.routed_limits import RoutedLimits
from imsg_gateway.shares import Share, check_content, make_shares
from imsg_gateway.template_sends import ChosenTemplate, TemplateSends
from imsg_gateway.validation_errors import attachment_wrong, content_wrong, recipients_wrong
from imsg_web.responses import refuse_unknown_field, refuse_value

REQUIRED = ("to", "method", "content")

OWN_CODES = ("to", "method", "content", "attachment")
"""Fields with an error code of their own for every defect, U+0000 included."""


class FindRecipients(Protocol):
    """Finds the recipients of `to`: `Recipients.find` or `Recipients.examine`."""

    def __call__(
        self, to: object, method: ChannelSpec, account: str | None, credential: Credential, *, is_v2: bool
    ) -> Awaitable[FoundRecipients]:
        """Find the recipients."""


class _Terms(NamedTuple):
    """What a send says beside its method, its words and its files."""

    people: People
    category: Category
    lifetime: timedelta | None
    reference: str | None = None
    names: Mapping[str, str] = MappingProxyType({})
    due_at: datetime | None = None
    provider: str | None = None
    template: ChosenTemplate | None = None
    without_address: int | None = None
    legs: Sequence[tuple[LegFields, ChosenTemplate | None]] = ()
    """The further legs, each with its template."""
    signature: str | None = None
    """Of the sender that it names."""


class DraftReader:
    """Checks the fields in the order that the interface promises."""

    def __init__(
        self,
        recipients: Recipients,
        files: Files,
        limits: RoutedLimits,
        names: PublishedNames,
        list_accounts: ListAccounts,
        *,
        groups: Groups,
        templates: TemplateSends,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._recipients = recipients
        self._files = files
        self._limits = limits
        self._names = names
        self._list_accounts = list_accounts
        self._groups = groups
        self._templates = templates
        self._now = now

    async def read(
        self, fields: Mapping[str, Any], credential: Credential, *, may_have_nul: bool, is_v2: bool
    ) -> Draft:
        """Check a request's fields. Raises Refusal, ServiceUnavailable, RedisUnavailable.

        v1 ignores unknown fields in `content` and `attachment`; v2 refuses them.
        """
        find = self._recipients.find
        draft, found = await self._read(fields, credential, find, may_have_nul=may_have_nul, is_v2=is_v2)
        if found.unfollowed:
            raise Refusal("not_following", who=", ".join(found.unfollowed[:MAX_NAMED]))
        return draft

    async def check(
        self, fields: Mapping[str, Any], credential: Credential, *, may_have_nul: bool
    ) -> tuple[Draft, FoundRecipients]:
        """Check a request of v2 without sending it. Return the draft, and the recipients with those that are wrong."""
        examine = self._recipients.examine
        return await self._read(fields, credential, examine, may_have_nul=may_have_nul, is_v2=True)

    async def _read(
        self,
        fields: Mapping[str, Any],
        credential: Credential,
        find: FindRecipients,
        *,
        may_have_nul: bool,
        is_v2: bool,
    ) -> tuple[Draft, FoundRecipients]:
        others = {"to": "groups", "content": "template"} if is_v2 else {}
        for name in REQUIRED:
            if fields.get(name) is None and fields.get(others.get(name, name)) is None:
                raise Refusal("missing", field=name)
        method = _read_method(fields["method"])
        await credential.require(f"{SEND}{method.name}")
        if may_have_nul:
            _refuse_nul(fields)
        account = await self._read_account(fields.get("account"), method)
        if is_v2:
            terms = await self._read_terms(fields, credential, method)
        else:
            category = credential.default_category
            lifetime = LIFETIME_OF_CODES if category is Category.CODE else None
            terms = _Terms(People(fields["to"]), category, lifetime)
        to, contacts = split_contacts(terms.people.to, is_wanted=bool(terms.legs))
        found = await find(to, method, account, credential, is_v2=is_v2)
        found = found._replace(recipients=add_references(found.recipients, terms.people))
        if terms.category is Category.CODE and len(found.recipients) > 1:
            raise recipients_wrong(
                "category 为 code 时只能有一个收件人；请为每个收件人各发一次请求",
                "with category code there is one recipient; send a request for each",
            )
        attachment = fields.get("attachment")
        if may_have_nul and has_nul(fields.get("content")):
            raise content_wrong("不能含 U+0000", "it must not hold U+0000")
        if is_v2:
            _refuse_unknown_fields(fields, method)
        raw_content = fields.get("content") if is_v2 else content.keep_known(method.content, fields["content"])
        found, checked, shares = await self._write_words(
            method, found, raw_content, terms, has_attachment=has_any(attachment)
        )
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
            reference=terms.reference,
            category=terms.category,
            lifetime=terms.lifetime,
            provider=terms.provider,
            is_test=credential.is_test,
            default_category=None if is_v2 else terms.category,
            without_address=terms.without_address,
            due_at=terms.due_at,
            shares=shares,
            signature=terms.signature,
        )
        return await self._add_legs(count_segments(draft), fields, terms, contacts, credential), found

    async def _add_legs(
        self,
        draft: Draft,
        fields: Mapping[str, Any],
        terms: _Terms,
        contacts: Mapping[str, Mapping[str, str]],
        credential: Credential,
    ) -> Draft:
        if not terms.legs:
            return draft
        legs = []
        for leg, template in terms.legs:
            of_leg = terms._replace(template=template, names={}, provider=None, signature=None)
            try:
                legs.append(await self._read_leg(leg, draft, of_leg, contacts, credential))
            except Refusal as refusal:
                raise leg.name(refusal) from refusal
        return draft._replace(until=read_until(fields, draft.method, "until"), legs=tuple(legs))

    async def _read_leg(
        self,
        leg: LegFields,
        draft: Draft,
        terms: _Terms,
        contacts: Mapping[str, Mapping[str, str]],
        credential: Credential,
    ) -> LegDraft:
        method = leg.method
        await credential.require(f"{SEND}{method.name}")
        account = await self._read_account(None, method)
        recipients = await self._recipients.find_others(draft.recipients, draft.method, method, contacts)
        found, checked, shares = await self._write_words(
            method, FoundRecipients(recipients), leg.content, terms, has_attachment=False
        )
        made = Draft(
            method, account, found.recipients, checked, reference=draft.reference, category=draft.category,
            lifetime=draft.lifetime, is_test=draft.is_test, until=leg.until, shares=shares,
        )  # fmt: skip
        return LegDraft(count_segments(made), leg.after_s, new_id())

    async def _read_terms(self, fields: Mapping[str, Any], credential: Credential, method: ChannelSpec) -> "_Terms":
        """Read what a send of v2 has and one of v1 has not."""
        wanted, due_at = read_fallback(fields), read_due_at(fields, self._now())
        provider = await _read_provider(fields, credential) if "provider" in fields else None
        template = await self._templates.find(fields, credential, method)
        reference, category = read_reference(fields), read_category(fields)
        if template is not None:
            category = self._templates.choose_category(template, fields)
        lifetime, names = read_lifetime(fields, category), read_names(fields, method)
        await self._check_names(method, {**names, "provider": provider}, credential)
        if fields.get("groups") is not None:
            members = await self._groups.find(fields, method, credential, [leg.method.name for leg in wanted])
            people, without_address = read_members(members.recipients), members.without_address
        else:
            people, without_address = read_people(fields["to"]), None
            if template is None and not any(leg.template for leg in wanted):
                refuse_people_without_template(people)
        legs = [(leg, await self._templates.find_leg(leg, fields, category, credential)) for leg in wanted]
        takes = {param.name for of in (template, *(of for _, of in legs)) if of for param in of.template.params}
        return _Terms(
            people, category, lifetime, reference, names, due_at, provider,
            template and template._replace(others=takes), without_address,
            [(leg, of and of._replace(others=takes)) for leg, of in legs],
            await self._names.find_signature(method.name, names.get("sender")),
        )  # fmt: skip

    async def _write_words(
        self, method: ChannelSpec, found: FoundRecipients, given: object, terms: "_Terms", *, has_attachment: bool
    ) -> tuple[FoundRecipients, Content, Sequence[Share]]:
        """Check the content of all recipients; return it with params for a template, and the providers' shares."""
        template = terms.template
        if template is not None:
            given = {"template": template.name}
            found = found._replace(recipients=self._templates.personalise(template, found.recipients, terms.people))
        groups = await self._limits.group(
            method, found.recipients, given, terms.category, terms.provider, accounts=found.accounts
        )
        if template is not None:
            filled = await self._templates.fill(
                template,
                method,
                groups,
                terms.names,
                terms.people,
                signature=terms.signature,
                has_attachment=has_attachment,
            )
            return found, filled.content, [Share(*share) for share in filled.shares]
        checked, counted = check_content(method, given, groups, has_attachment=has_attachment)
        return found, add_names(checked, terms.names), make_shares(method, checked, counted, terms.signature)

    async def refresh(self, draft: Draft, username: str) -> Draft:
        """Check a user's earlier request, which history has kept, by the settings of now; count its segments.

        Raises Refusal wrong_type, may_not_send_by for a name that is gone.
        """
        method, words, signature = draft.method, draft.content, None
        if method.sender and isinstance(draft.content, dict):
            names = {field: draft.content[field] for field in SENDER_FIELDS if draft.content.get(field)}
            await self._names.check(method.name, names, username)
            words, signature = drop_names(words, method), await self._names.find_signature(method.name, draft.sender)
        groups = await self._limits.group(method, draft.recipients, words, draft.category, draft.provider)
        counted = [(group, group.find_taker(method, words)) for group in groups]
        shares = make_shares(method, words, counted, signature)
        return count_segments(draft._replace(shares=shares, signature=signature))

    async def _check_names(self, method: ChannelSpec, names: Mapping[str, str | None], credential: Credential) -> None:
        """Refuse unknown names. The refusal lists the known ones, so the credential is verified first."""
        wanted = {field: name for field, name in names.items() if name is not None}
        try:
            await self._names.check(method.name, wanted, credential.username)
        except Refusal:
            await credential.authenticate()
            raise

    async def _read_account(self, account: object, method: ChannelSpec) -> str | None:
        if account is not None and not isinstance(account, str):
            raise refuse_value(
                "account", "必须是公众号的名字（字符串）", "it must be a string, an official account's name"
            )
        if not method.has_accounts:
            return None
        accounts = await self._list_accounts()
        if not accounts or (account is not None and account not in accounts):
            raise Refusal("no_such_account", account=(account or "")[:64])
        return account


async def _read_provider(fields: Mapping[str, Any], credential: Credential) -> str | None:
    """Return the only provider that may send it, as administrators choose. Raises Refusal no_right, wrong_type."""
    provider = read_provider(fields)
    if provider is not None and not (await credential.authenticate()).is_admin:
        raise refuse_role()
    return provider


def _read_method(name: object) -> ChannelSpec:
    if not isinstance(name, str) or (method := BY_NAME.get(name)) is None:
        raise refuse_method()
    return method


def _refuse_nul(fields: Mapping[str, Any]) -> None:
    """Refuse U+0000 in all fields but those with error codes of their own, unknown fields included."""
    for name, value in fields.items():
        if name not in OWN_CODES and (has_nul(name) or has_nul(value)):
            shown = name.replace("\0", "")
            raise refuse_value(shown, "不能含 U+0000", "it must not hold U+0000")


def _refuse_unknown_fields(fields: Mapping[str, Any], method: ChannelSpec) -> None:
    """Refuse an unknown field beside known ones, in `content` and in each `attachment`.

    An object without a known field, or with U+0000, is refused later as one of a wrong shape.
    """
    attachment = fields.get("attachment")
    known: Sequence[str] = content.fields(method.content)
    files = enumerate(attachment) if isinstance(attachment, list) else ()
    objects = {"content": fields.get("content"), "attachment": attachment}
    objects |= {f"attachment.{number}": file for number, file in files}
    for field, value in objects.items():
        if isinstance(value, dict):
            unknown = [name for name in value if name not in known]
            if unknown and len(unknown) < len(value) and not has_nul(value):
                raise refuse_unknown_field(f"{field}.{unknown[0]}", known)
        known = FILE_FIELDS
