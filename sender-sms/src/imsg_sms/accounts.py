"""SMS accounts that administrators set up in the web page: the forms, and what a check says in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from imsg_contract.provider_accounts import TRANSIENT, ProviderAccount, ProviderTrouble, SetUp, Words
from imsg_delivery.provider_kinds import ProviderKind, quote, split_settings
from imsg_sms.account_settings import Aliyun, AnyAccount, Tencent, Twilio, Volcengine
from imsg_sms.described_providers import make_kind, make_settings, show_settings
from imsg_sms.http_settings import Http, list_descriptions
from imsg_sms.settings import Sms, SmsRoute

RECEIPTS = SetUp(
    title=Words(zh="状态报告的回调地址", en="The URL for receipts"),
    value="{public_url}/hooks/sms/{name}/{hook_secret}",
)

KINDS = (
    ProviderKind("aliyun", Words(zh="阿里云短信", en="Aliyun SMS"), Aliyun, setup=(RECEIPTS,), route_model=SmsRoute),
    ProviderKind(
        "tencent", Words(zh="腾讯云短信", en="Tencent Cloud SMS"), Tencent, setup=(RECEIPTS,), route_model=SmsRoute
    ),
    ProviderKind(
        "volcengine", Words(zh="火山引擎短信", en="Volcengine SMS"), Volcengine, setup=(RECEIPTS,), route_model=SmsRoute
    ),
    ProviderKind("twilio", Words(zh="Twilio", en="Twilio"), Twilio, setup=(RECEIPTS,), route_model=SmsRoute),
)

DESCRIBED_KINDS: Mapping[str, ProviderKind] = {name: make_kind(name, RECEIPTS) for name in list_descriptions()}
"""The kinds of the descriptions that come with iMSG. Their accounts are of the kind `http` in the settings."""

"""The most characters of a provider's answer that an explanation repeats."""

FREE_TEXT = ProviderTrouble(
    code="free_text",
    zh="发给它的是整条文字，不用模板编号。",
    en="It is sent the whole text, and no template's number.",
    remedy_zh="发送时直接写内容；要报备文字的服务商，请在它的控制台查看",
    remedy_en="write the text in the send; where it wants texts approved, look in its console",
)
"""Why a provider has no templates to list."""

DESCRIBED_CODES: Mapping[str, Sequence[str]] = {
    "key_id": ("chuanglan:101;", "smsbao:40;"),
    "secret": ("mas:InvalidUsrOrPwd;", "chuanglan:102;", "luosimao:-10;", "smsbao:30;", "yunpian:-1;"),
    "address": ("mas:NOT_WHITE_IP;", "chuanglan:117;", "luosimao:-50;", "smsbao:43;", "yunpian:-3;"),
    "right": ("chuanglan:118;", "yunpian:-2;"),
    "signature": ("chuanglan:116;", "luosimao:-34;", "mas:IllegalSignId;", "yunpian:15;", "yunpian:18;"),
    "template": ("yunpian:7;", "yunpian:60;"),
    "balance": ("chuanglan:109;", "chuanglan:111;", "luosimao:-20;", "smsbao:41;", "yunpian:3;"),
}
"""Trouble → the codes of described providers. The semicolon ends a code: yunpian:-1 is not yunpian:-11."""

TROUBLES: tuple[tuple[tuple[str, ...], ProviderTrouble], ...] = tuple(
    (words, ProviderTrouble(code=code, zh=zh, en=en, remedy_zh=remedy_zh, remedy_en=remedy_en))
    for words, code, zh, en, remedy_zh, remedy_en in (
        (
            ("InvalidTimeStamp", "SignatureExpire", "InvalidTimestamp", "RequestTimeException"),
            "clock",
            "本机的时钟不准，签名已过期。",
            "The clock of this machine is wrong, so the signature has expired.",
            "请在本机开启时间同步（NTP），然后重试。",
            "Synchronize this machine's clock by NTP, and try again.",
        ),
        (
            (
                "InvalidAccessKey",
                "SecretIdNotFound",
                "InvalidSecretId",
                "InvalidAuthorization",
                *DESCRIBED_CODES["key_id"],
            ),
            "key_id",
            "AccessKey ID（SecretId）不存在或已停用。",
            "The id of the access key is unknown or switched off.",
            "请在服务商控制台的访问密钥页面核对，并确认该密钥已启用。",
            "Compare it with the access keys in the provider's console, and see that it is on.",
        ),
        (
            (
                "SignatureDoesNotMatch",
                "SignatureFailure",
                "20003",
                "Authenticate",
                "RE:0000",
                *DESCRIBED_CODES["secret"],
            ),
            "secret",
            "密钥不正确。",
            "The secret is wrong.",
            "请重新复制 AccessKey Secret（SecretKey、Auth Token），注意不要多出空格；忘记了就新建一个密钥。",
            "Copy the secret again, without blanks; if it is lost, make a new key.",
        ),
        (
            (
                "whitelist",
                "IpNot",
                "IPNot",
                "NotInWhite",
                "not in white",
                "DENY_IP",
                "RE:0007",
                *DESCRIBED_CODES["address"],
            ),
            "address",
            "服务商不允许从本机的 IP 地址调用。",
            "The provider does not allow calls from this machine's address.",
            "请在控制台的 IP 白名单中加入本机的公网地址。",
            "Add this machine's public address to the allowed ones in the console.",
        ),
        (
            ("SdkAppId",),
            "app_id",
            "SmsSdkAppId 不存在、已停用，或不属于这个账号。",
            "There is no such SmsSdkAppId in the account, or it is switched off.",
            "请填写短信控制台“应用管理”中的 SDK AppID，不是账号的 APPID。",
            "Write the SDK AppID of the SMS console, not the APPID of the account.",
        ),
        (
            (
                "AMOUNT_NOT_ENOUGH",
                "OUT_OF_SERVICE",
                "InsufficientBalance",
                "DueToArrears",
                "RE:0010",
                "20005 ",
                "30002 ",
                *DESCRIBED_CODES["balance"],
            ),
            "balance",
            "账号余额不足或已停机。",
            "The account has no balance, or is suspended.",
            "请充值或购买套餐包，几分钟内生效。",
            "Top it up or buy a package; that holds after some minutes.",
        ),
        (
            (
                "Forbidden",
                "UnauthorizedOperation",
                "AccessDenied",
                "RAM_PERMISSION",
                "NoPermission",
                *DESCRIBED_CODES["right"],
            ),
            "right",
            "这个密钥没有短信服务的权限。",
            "This key has no right to the SMS service.",
            "请在访问控制（RAM、CAM）中为它的用户授予短信服务的权限。",
            "Grant its user the rights of the SMS service.",
        ),
        (
            ("SIGNATURE", "SignatureIncorrect", "MissingSignature", "SIGN_", "RE:0004", *DESCRIBED_CODES["signature"]),
            "signature",
            "短信签名不存在、未通过审核，或没有报备。",
            "The signature is unknown, not approved, or not filed.",
            "请在控制台核对签名名称、审核和实名报备；审核一般 2 小时，报备通常要 5 到 10 个工作日。",
            "Compare its name there. A review takes 2 hours, filing 5 to 10 working days.",
        ),
        (
            (
                "TEMPLATE",
                "TemplateIncorrect",
                "TemplateUnapproved",
                "TemplateIdNotExist",
                "RE:0005",
                *DESCRIBED_CODES["template"],
            ),
            "template",
            "模板不存在或没有通过审核。",
            "A template is unknown or not approved.",
            "请在控制台核对模板编号和审核状态；审核一般需要 2 小时。",
            "Compare its number and review in the console; a review takes about 2 hours.",
        ),
        (
            ("can't be reached", "did not answer"),
            "unreachable",
            "无法连接服务商。",
            "The provider can't be reached.",
            "请确认本机能访问互联网、DNS 正常、防火墙放行 443 端口，然后重试。",
            "See that this machine reaches the internet on port 443 and resolves names, and try again.",
        ),
    )
)
"""Parts of what a provider says → the trouble; the first that fits counts. The providers' modules list the codes."""


def list_accounts(sms: Sms) -> Mapping[str, tuple[str, BaseModel]]:
    """Return the accounts that the page can show, by their names."""
    return {name: shown for name, account in sms.accounts.items() if (shown := _show(account)) is not None}


def complete(merged: Mapping[str, Any], accounts: Sequence[ProviderAccount]) -> Mapping[str, Any]:
    """Write accounts of the page as the settings have them, with their conditions among the routes."""
    conditions = {account.name: split_settings(account.settings)[1] for account in accounts}
    order = merged.get("providers") or ()
    listed = tuple(name.strip() for name in order.split(",")) if isinstance(order, str) else tuple(order)
    return {
        **merged,
        # Where the settings name an order, what the page adds comes behind it.
        "providers": (*listed, *(account.name for account in accounts if account.name not in listed)) if listed else (),
        "accounts": {**merged["accounts"], **{account.name: expand(account) for account in accounts}},
        "routes": {
            **merged.get("routes", {}),
            **{name: condition for name, condition in conditions.items() if condition},
        },
    }


def expand(account: ProviderAccount) -> Mapping[str, Any]:
    """Return an account of the page as the settings have it, without its conditions."""
    own, _ = split_settings(account.settings)
    described = DESCRIBED_KINDS.get(account.kind)
    return {**own, "kind": account.kind} if described is None else make_settings(described, own)


def _show(account: AnyAccount) -> tuple[str, BaseModel] | None:
    if not isinstance(account, Http):
        return account.kind, account
    described = DESCRIBED_KINDS.get(account.use)
    return None if described is None else (described.kind, show_settings(described, account))


def explain(detail: str) -> ProviderTrouble:
    """Return why a provider refuses an account, followed by the provider's own text."""
    return explain_known(detail) or ProviderTrouble(
        code="refused",
        zh=f"服务商答复：“{quote(detail)}”。",
        en=f"The provider answered: {quote(detail)}",
        remedy_zh="请按答复中的代码在服务商的文档中查找原因。",
        remedy_en="Look the code up in the provider's documents.",
    )


def explain_refusal(answer: str) -> ProviderTrouble | None:
    """Return why a provider refused a send, given its code and text; None for an unlisted code."""
    code, _, words = answer.partition(" ")
    return explain_known(answer) or explain_known(f"{code}; {words}")


def explain_known(detail: str) -> ProviderTrouble | None:
    """Return why a provider refuses an account; None for an unlisted code."""
    for words, trouble in TROUBLES:
        if any(word in detail for word in words):
            if trouble.code in TRANSIENT:
                return trouble  # the provider did not answer: the words are ours
            zh = f"{trouble.zh.removesuffix('。')}（{quote(detail)}）。"
            return trouble.model_copy(update={"zh": zh, "en": f"{trouble.en} ({quote(detail)})"})
    return None
