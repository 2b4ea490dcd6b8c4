"""Checks of accounts without sending: the log-in, the review of signatures and templates, the filing, what is left."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from imsg_contract.provider_accounts import Filing, ProviderEntry, ProviderTrouble, Remark, Review, Words
from imsg_delivery.provider_kinds import FORBIDDEN_ADDRESS, quote
from imsg_sms.account_apis.make import make_account_api
from imsg_sms.account_apis.port import AccountApi, AccountRefused
from imsg_sms.account_apis.reading import FILINGS
from imsg_sms.account_settings import Aliyun, AnyAccount, Tencent, Volcengine
from imsg_sms.accounts import explain
from imsg_sms.countries import MAINLAND
from imsg_sms.settings import Sms
from imsg_web.destinations import AddressForbidden
from imsg_web.http_pool import HttpPool, NoAnswer, NotSent

LOW = 0.05
"""The part of a package that is left when it is reported to run out."""

REVIEWS: dict[Review, Words] = {
    "reviewing": Words(zh="正在审核", en="in review"),
    "rejected": Words(zh="未通过审核", en="rejected"),
    "withdrawn": Words(zh="已撤销审核", en="withdrawn"),
}

UNKNOWN_CALL = Words(
    zh="已配置；iMSG 不知道这家服务商有什么不发送就能检查的接口",
    en="configured; iMSG knows no call of this provider that checks it without sending",
)

NOT_FOR_EVERYBODY = ("InvalidAction", "NotEnterpriseCertification", "NoPermission", "Forbidden", "Unauthorized")
"""Parts of codes by which a provider says that a key may not ask for signatures: nothing is known then."""


@dataclass(frozen=True, slots=True)
class ProviderCheck:
    """The result of a check; `is_ok` is None if the provider has no call for it, or did not say all it was asked."""

    provider: str
    is_ok: bool | None
    detail: Words
    troubles: tuple[ProviderTrouble, ...] = ()
    """The worst first."""


async def check(sms: Sms, pool: HttpPool) -> list[ProviderCheck]:
    """Check every account in use at its provider."""
    named = {sender.signature for sender in sms.senders.values()}
    return [
        await _check(name, account, _find_template_ids(sms, name), named, pool) for name, account in sms.used.items()
    ]


async def check_signature_everywhere(sms: Sms, signature: str, pool: HttpPool) -> list[Remark]:
    """Return what is wrong with a signature at each account in use that lists its signatures."""

    async def check_account(name: str, account: AnyAccount) -> Remark | None:
        api = make_account_api(account, pool)
        if api is None or not _has_signatures(account):
            return None
        try:
            trouble = (await _find_signature_problems((signature,), api))[signature]
        except (AccountRefused, NotSent, NoAnswer) as error:
            trouble = explain_failure(error)
        return None if trouble is None else Remark(provider=name, trouble=trouble)

    remarks = await asyncio.gather(*(check_account(name, account) for name, account in sms.used.items()))
    return [remark for remark in remarks if remark is not None]


async def _check(
    name: str, account: AnyAccount, ids: Collection[str], named: Collection[str], pool: HttpPool
) -> ProviderCheck:
    api = make_account_api(account, pool)
    if api is None:
        return ProviderCheck(name, None, UNKNOWN_CALL)
    try:
        troubles, facts = await _find_problems(account, api, ids, named)
    except (AccountRefused, NotSent, NoAnswer) as error:
        trouble = explain_failure(error)
        answer = Words(zh=trouble.zh, en=_describe_failure(error))
        return ProviderCheck(name, is_ok=False, detail=answer, troubles=(trouble,))
    detail = Words(
        zh="；".join(
            ["登录成功", *(trouble.zh.removesuffix("。") for trouble in troubles), *(fact.zh for fact in facts)]
        ),
        en="; ".join(["the log-in works", *(trouble.en for trouble in troubles), *(fact.en for fact in facts)]),
    )
    is_ok = False if any(not trouble.is_unsure for trouble in troubles) else None if troubles else True
    return ProviderCheck(name, is_ok, detail, tuple(troubles))


def explain_failure(error: AccountRefused | NotSent | NoAnswer) -> ProviderTrouble:
    """Return why a call had no answer, or what the provider answered."""
    return FORBIDDEN_ADDRESS if isinstance(error, AddressForbidden) else explain(_describe_failure(error))


def _describe_failure(error: AccountRefused | NotSent | NoAnswer) -> str:
    """Return in English why a call had no answer, or what the provider answered."""
    if isinstance(error, AccountRefused):
        return quote(str(error))
    return f"it can't be reached: {error}" if isinstance(error, NotSent) else f"it did not answer: {quote(str(error))}"


async def _find_problems(
    account: AnyAccount, api: AccountApi, ids: Collection[str], named: Collection[str]
) -> tuple[list[ProviderTrouble], list[Words]]:
    """Return what is wrong, and facts. Raises AccountRefused, NotSent, NoAnswer.

    Of the signatures that senders name, those count that the provider knows: the others are of other accounts.
    """
    templates = _find_own_templates(account) | set(ids)
    troubles: list[ProviderTrouble] = []
    facts: list[Words] = []
    if isinstance(account, Tencent):
        invalid = sorted(template for template in templates if not (template.isascii() and template.isdecimal()))
        troubles += [_describe_invalid_id(template) for template in invalid]
        templates -= set(invalid)
    known = await api.list_templates(templates)
    if known is not None and templates:
        wrong = _find_template_problems(templates, known)
        troubles += wrong
        approved = Words(zh=f"{len(templates)} 个模板已通过审核", en=f"{len(templates)} templates approved")
        facts += [] if wrong else [approved]
    if _has_signatures(account):
        own = account.sign_name
        judged = await _find_signature_problems({own, *named}, api, may_be_unknown=set(named) - {own})
        by_code: dict[str, ProviderTrouble] = {}
        for name in (own, *sorted(named)):  # of each kind one is shown, the account's own first
            if (trouble := judged[name]) is not None:
                by_code.setdefault(trouble.code, trouble)
        troubles += by_code.values()
    if (left := await api.read_balance()) is not None:
        facts.append(left.text)
        if left.amount <= (0 if left.bought is None else left.bought * LOW):
            troubles.append(_describe_left(left.text.en, is_empty=left.amount <= 0))
    return troubles, facts


def _has_signatures(account: AnyAccount) -> TypeGuard[Aliyun | Tencent | Volcengine]:
    return isinstance(account, Aliyun | Tencent | Volcengine) and MAINLAND in account.countries


async def _find_signature_problems(
    names: Collection[str], api: AccountApi, *, may_be_unknown: Collection[str] = ()
) -> Mapping[str, ProviderTrouble | None]:
    """Return what is wrong with each signature, or not known of it. Raises as AccountApi does."""
    try:
        known = await api.list_signatures(names)
    except AccountRefused as error:
        if any(word in error.code for word in NOT_FOR_EVERYBODY):
            known = None
        else:
            raise
    if known is None:
        return {name: _describe_unknown(name) for name in names}
    by_name = {entry.text: entry for entry in known}
    passed = {name for name in may_be_unknown if name not in by_name}
    return {name: None if name in passed else describe_signature_problem(name, by_name.get(name)) for name in names}


def describe_signature_problem(name: str, entry: ProviderEntry | None) -> ProviderTrouble | None:
    """Return what is wrong with a signature; None for the entry: its provider does not know it."""
    if entry is None:
        return ProviderTrouble(
            code="signature",
            zh=f"服务商没有签名“{name}”。",
            en=f"The provider has no signature {name}.",
            remedy_zh="请在控制台申请它，或改填已有的签名；审核一般 2 小时，实名报备通常 5 到 10 个工作日。",
            remedy_en="Apply for it there, or name another. A review takes 2 hours, filing 5 to 10 working days.",
        )
    why = entry.reason or Words(zh="", en="")
    if entry.review in REVIEWS:
        state = REVIEWS[entry.review]
        return ProviderTrouble(
            code="signature",
            zh=f"签名“{name}”{state.zh}{_bracket(why.zh)}。",
            en=f"Signature {name} is {state.en}{_bracket(why.en)}.",
            remedy_zh="审核一般 2 小时（9:00 至 21:00），未通过的请按原因修改后重新提交；其间可改用其他签名。",
            remedy_en="A review takes about 2 hours in the daytime; correct a rejected one, or use another.",
        )
    if entry.review == "unknown" or entry.filing is None:
        return _describe_unknown(name)
    return None if entry.filing == "filed" else _describe_filing(name, entry.filing, why)


def _describe_unknown(name: str) -> ProviderTrouble:
    return _make_unsure(
        "signature_unknown",
        zh=f"服务商没有说明签名“{name}”是否已通过审核，并在三家运营商完成实名报备。",
        en=f"The provider did not say whether signature {name} is approved and filed with all three carriers.",
    )


def _make_unsure(code: str, *, zh: str, en: str) -> ProviderTrouble:
    """Make what is shown where a provider did not say what it was asked."""
    return ProviderTrouble(
        code=code,
        zh=zh,
        en=en,
        remedy_zh="请在服务商控制台查看；iMSG 每小时会再问一次。",
        remedy_en="Look at it in the provider's console; iMSG asks again every hour.",
        is_unsure=True,
    )


def _describe_filing(name: str, filing: Filing, why: Words) -> ProviderTrouble:
    waits, state = filing == "filing", FILINGS[filing]
    return ProviderTrouble(
        code="filing",
        zh=f"签名“{name}”的运营商实名报备没有完成（{why.zh or state.zh}），短信可能被运营商拦截，而且不会报错。",
        en=f"Signature {name} is not filed with the carriers ({why.en or state.en}); they may drop its messages.",
        remedy_zh="无需操作，报备通常要 5 到 10 个工作日；其间请改用已报备的签名，或少量试发。"
        if waits
        else "请在控制台的签名页面补全实名资质，重新发起报备，通常要 5 到 10 个工作日；其间请改用已报备的签名。",
        remedy_en="Nothing is to do: filing takes 5 to 10 working days. Use a filed signature meanwhile."
        if waits
        else "Complete its qualification in the console, and file it again: 5 to 10 working days.",
    )


def _find_template_problems(wanted: Collection[str], known: Sequence[ProviderEntry]) -> list[ProviderTrouble]:
    by_id = {entry.id: entry for entry in known}
    wrong: list[tuple[str, Words]] = []
    unsure: list[str] = []
    for template in sorted(wanted):
        entry = by_id.get(template)
        if entry is None:
            wrong.append((template, Words(zh="不存在", en="unknown there")))
        elif entry.review == "unknown":
            unsure.append(template)
        elif entry.review in REVIEWS:
            state, why = REVIEWS[entry.review], entry.reason or Words(zh="", en="")
            wrong.append((template, Words(zh=state.zh + _bracket(why.zh), en=state.en + _bracket(why.en))))
    troubles = [_describe_wrong_templates(wrong)] if wrong else []
    if unsure:
        zh = f"服务商没有说明这些模板是否已通过审核：{'、'.join(unsure)}。"
        en = f"The provider did not say whether these templates are approved: {', '.join(unsure)}."
        troubles.append(_make_unsure("template_unknown", zh=zh, en=en))
    return troubles


def _describe_wrong_templates(wrong: Sequence[tuple[str, Words]]) -> ProviderTrouble:
    return ProviderTrouble(
        code="template",
        zh=f"模板{'；'.join(f' {template} {why.zh}' for template, why in wrong)}。",
        en="Template " + ", ".join(f"{template} is {why.en}" for template, why in wrong),
        remedy_zh="请在控制台核对模板编号和审核状态；审核一般 2 小时（9:00 至 21:00）。",
        remedy_en="Compare its number and review in the console; a review takes about 2 hours in the daytime.",
    )


def _describe_invalid_id(template: str) -> ProviderTrouble:
    return ProviderTrouble(
        code="template",
        zh=f"模板 {template} 不是数字，而腾讯云的模板编号都是数字。",
        en=f"template {template} is no number, as all of Tencent's are; correct its id",
        remedy_zh="请在短信控制台的“正文模板管理”中复制模板 ID。",
        remedy_en="Copy the id from the templates of the SMS console.",
    )


def _describe_left(text: str, *, is_empty: bool) -> ProviderTrouble:
    return ProviderTrouble(
        code="balance",
        zh="账号余额或套餐包已用完。" if is_empty else "套餐包快用完了，只剩不到 5%。",
        en=f"The account is empty ({text})." if is_empty else f"Less than 5 % of the packages is left ({text}).",
        remedy_zh="请在服务商控制台充值或购买套餐包，几分钟内生效。",
        remedy_en="Top it up in the provider's console; that holds after some minutes.",
    )


def _find_own_templates(account: AnyAccount) -> set[str]:
    match account:
        case Aliyun():
            return {account.template, *account.templates}
        case Tencent() | Volcengine():
            return {account.template} - {""}
    return set()


def _find_template_ids(sms: Sms, account: str) -> set[str]:
    """Return the ids of the account's templates that logical templates use."""
    ways = (template.providers.get(account) for template in sms.templates.values())
    return {way.id for way in ways if way is not None and way.id}


def _bracket(text: str) -> str:
    return f"（{text}）" if text and not text.isascii() else f" ({text})" if text else ""
