"""Official accounts that administrators set up in the web page: the form, and what a check says in words."""

from collections.abc import Collection, Mapping

from imsg_contract.provider_accounts import TRANSIENT, ProviderTrouble, SetUp, Words
from imsg_delivery.provider_kinds import FORBIDDEN_ADDRESS, ProviderKind, quote
from imsg_wechat.settings import Account, WeChat
from imsg_wechat.transport import FORBIDDEN

OFFICIAL_ACCOUNT = ProviderKind(
    "wechat",
    Words(zh="微信公众号", en="WeChat official account"),
    Account,
    setup=(
        SetUp(title=Words(zh="服务器地址（URL）", en="Server URL"), value="{public_url}/hooks/wechat/{name}"),
        SetUp(title=Words(zh="IP 白名单", en="Allowed addresses"), value="IP"),
    ),
)

TROUBLES: tuple[tuple[tuple[str, ...], ProviderTrouble], ...] = (
    (
        ("unreachable", "timeout", "cut_off"),
        ProviderTrouble(
            code="unreachable",
            zh="无法连接微信。",
            en="WeChat can't be reached.",
            remedy_zh="请确认本机能访问 api.weixin.qq.com 的 443 端口，然后重试。",
            remedy_en="See that this machine reaches api.weixin.qq.com on port 443, and try again.",
        ),
    ),
    (
        ("40164",),
        ProviderTrouble(
            code="address",
            zh="微信不允许从本机的 IP 地址调用。",
            en="WeChat does not allow calls from this machine's address.",
            remedy_zh="请在公众平台“基本配置 → IP 白名单”中加入括号内的地址，5 到 10 分钟后生效。",
            remedy_en="Add the address in brackets to the IP whitelist of the account; it holds after 5 to 10 minutes.",
        ),
    ),
    (
        ("40013",),
        ProviderTrouble(
            code="app_id",
            zh="没有这个 AppID。",
            en="There is no such AppID.",
            remedy_zh="请在公众平台“基本配置”中重新复制 AppID。",
            remedy_en="Copy the AppID again from the basic configuration of the account.",
        ),
    ),
    (
        ("40125", "40001"),
        ProviderTrouble(
            code="secret",
            zh="AppSecret 不正确。",
            en="The AppSecret is wrong.",
            remedy_zh="请在公众平台“基本配置”中重置 AppSecret 后填写；重置后旧的立即失效。",
            remedy_en="Reset the AppSecret in the basic configuration, and write the new one; the old one ends then.",
        ),
    ),
)
"""Parts of what WeChat says → the trouble; the first that fits counts."""


def list_accounts(wechat: WeChat) -> Mapping[str, tuple[str, Account]]:
    """Return the official accounts by their names."""
    return {name: (OFFICIAL_ACCOUNT.kind, account) for name, account in wechat.accounts.items()}


def explain(fault: str) -> ProviderTrouble:
    """Return why WeChat refuses an account, followed by its own text."""
    if fault.startswith(FORBIDDEN):
        return FORBIDDEN_ADDRESS
    said = quote(fault)
    for words, trouble in TROUBLES:
        if any(word in fault for word in words):
            if trouble.code in TRANSIENT:
                return trouble  # WeChat parts nothing: the words are ours
            return trouble.model_copy(update={"zh": f"{trouble.zh}（{said}）", "en": f"{trouble.en} ({said})"})
    return ProviderTrouble(
        code="refused",
        zh=f"微信答复：{said}",
        en=f"WeChat answered: {said}",
        remedy_zh="请确认本机能访问 api.weixin.qq.com 的 443 端口；有错误码的，请在微信文档“全局返回码”中查找。",
        remedy_en="See that this machine reaches api.weixin.qq.com on port 443; look a code up in WeChat's documents.",
    )


def explain_templates(missing: Collection[str], wrong: Mapping[str, str]) -> ProviderTrouble:
    """Return the problem of templates that differ from those of the account; `wrong` has sentences in English."""
    unfit = [name for name in wrong if name not in missing]
    parts = [f"账号没有模板 {'、'.join(sorted(missing))}"] if missing else []
    parts += [f"模板 {'、'.join(sorted(unfit))} 的变量与设置的不符"] if unfit else []
    return ProviderTrouble(
        code="template",
        zh=f"登录成功，但{'；'.join(parts)}。",
        en=f"The log-in works, but a template is wrong: {' '.join(wrong.values())}",
        remedy_zh="请在公众平台“我的模板”中核对模板编号和变量；改动服务类目会删除其下的模板，重新添加后立即可用。",
        remedy_en="Compare them with the account's own templates. A changed category deletes its templates; those that "
        "are added again can be used at once.",
    )
