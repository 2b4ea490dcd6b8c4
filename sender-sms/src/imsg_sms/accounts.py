"""SMS accounts that administrators set up in the web page: the forms, and what a check says in words."""

from collections.abc import Mapping

from pydantic import BaseModel

from imsg_contract.provider_accounts import TRANSIENT, SetUp, Trouble, Words
from imsg_delivery.provider_kinds import ProviderKind
from imsg_sms.settings import Aliyun, Sms, Tencent, Twilio, Volcengine

RECEIPTS = SetUp(
    title=Words(zh="状态报告的回调地址", en="The URL for receipts"),
    value="{public_url}/hooks/sms/{name}/{hook_secret}",
)

KINDS = (
    ProviderKind("aliyun", Words(zh="阿里云短信", en="Aliyun SMS"), Aliyun, setup=(RECEIPTS,)),
    ProviderKind("tencent", Words(zh="腾讯云短信", en="Tencent Cloud SMS"), Tencent, setup=(RECEIPTS,)),
    ProviderKind("volcengine", Words(zh="火山引擎短信", en="Volcengine SMS"), Volcengine, setup=(RECEIPTS,)),
    ProviderKind("twilio", Words(zh="Twilio", en="Twilio"), Twilio, setup=(RECEIPTS,)),
)

TROUBLES: tuple[tuple[tuple[str, ...], Trouble], ...] = tuple(
    (words, Trouble(code=code, zh=zh, en=en, remedy_zh=remedy_zh, remedy_en=remedy_en))
    for words, code, zh, en, remedy_zh, remedy_en in (
        (
            ("InvalidTimeStamp", "SignatureExpire", "InvalidTimestamp"),
            "clock",
            "本机的时钟不准，签名已过期。",
            "The clock of this machine is wrong, so the signature has expired.",
            "请在本机开启时间同步（NTP），然后重试。",
            "Synchronize this machine's clock by NTP, and try again.",
        ),
        (
            ("InvalidAccessKey", "SecretIdNotFound", "InvalidSecretId", "InvalidAuthorization"),
            "key_id",
            "AccessKey ID（SecretId）不存在或已停用。",
            "The id of the access key is unknown or switched off.",
            "请在服务商控制台的访问密钥页面核对，并确认该密钥已启用。",
            "Compare it with the access keys in the provider's console, and see that it is on.",
        ),
        (
            ("SignatureDoesNotMatch", "SignatureFailure", "20003", "Authenticate"),
            "secret",
            "密钥不正确。",
            "The secret is wrong.",
            "请重新复制 AccessKey Secret（SecretKey、Auth Token），注意不要多出空格；忘记了就新建一个密钥。",
            "Copy the secret again, without blanks; if it is lost, make a new key.",
        ),
        (
            ("whitelist", "IpNot", "IPNot", "NotInWhite", "not in white"),
            "address",
            "服务商不允许从本机的 IP 地址调用。",
            "The provider does not allow calls from this machine's address.",
            "请在控制台的 IP 白名单中加入本机的公网地址。",
            "Add this machine's public address to the allowed ones in the console.",
        ),
        (
            ("Forbidden", "UnauthorizedOperation", "AccessDenied", "isv.RAM", "NoPermission"),
            "right",
            "这个密钥没有短信服务的权限。",
            "This key has no right to the SMS service.",
            "请在访问控制（RAM、CAM）中为它的用户授予短信服务的权限。",
            "Grant its user the rights of the SMS service.",
        ),
        (
            ("AMOUNT_NOT_ENOUGH", "OUT_OF_SERVICE", "InsufficientBalance"),
            "balance",
            "账号余额不足或已停机。",
            "The account has no balance, or is suspended.",
            "请充值或购买套餐包，几分钟后重试。",
            "Top it up, and try again in some minutes.",
        ),
        (
            ("SIGNATURE", "SignatureIncorrect", "SIGN_"),
            "signature",
            "短信签名不存在、未通过审核，或没有报备。",
            "The signature is unknown, not approved, or not filed.",
            "请在控制台核对签名名称和审核状态；实名报备通常要 5 到 10 个工作日。",
            "Compare its name and review in the console; filing takes 5 to 10 working days.",
        ),
        (
            ("TEMPLATE", "TemplateIncorrect", "TemplateUnapproved"),
            "template",
            "模板不存在或没有通过审核。",
            "A template is unknown or not approved.",
            "请在控制台核对模板编号和审核状态；审核一般需要 2 小时。",
            "Compare its number and review in the console; a review takes about 2 hours.",
        ),
        (
            ("SdkAppId",),
            "app_id",
            "SmsSdkAppId 不存在。",
            "There is no such SmsSdkAppId.",
            "请填写短信控制台“应用管理”中的 SDK AppID，不是账号的 APPID。",
            "Write the SDK AppID of the SMS console, not the APPID of the account.",
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
    shown = {kind.kind for kind in KINDS}
    return {name: (account.kind, account) for name, account in sms.accounts.items() if account.kind in shown}


def explain(detail: str) -> Trouble:
    """Say in words why a provider does not take an account, with its own words behind."""
    for words, trouble in TROUBLES:
        if any(word in detail for word in words):
            if trouble.code in TRANSIENT:
                return trouble  # nobody answered: the words are ours
            return trouble.model_copy(update={"zh": f"{trouble.zh}（{detail}）", "en": f"{trouble.en} ({detail})"})
    return Trouble(
        code="refused",
        zh=f"服务商答复：{detail}",
        en=f"The provider answered: {detail}",
        remedy_zh="请按答复中的代码在服务商的文档中查找原因。",
        remedy_en="Look the code up in the provider's documents.",
    )
