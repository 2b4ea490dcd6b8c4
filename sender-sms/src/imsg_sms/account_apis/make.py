"""Chooses the account calls of a provider by the kind of its account."""

from imsg_sms.account_apis.aliyun import AliyunAccount
from imsg_sms.account_apis.described import DescribedAccount
from imsg_sms.account_apis.port import AccountApi
from imsg_sms.account_apis.tencent import TencentAccount
from imsg_sms.account_apis.twilio import TwilioAccount
from imsg_sms.account_apis.volcengine import VolcengineAccount
from imsg_sms.account_settings import Aliyun, AnyAccount, Tencent, Twilio, Volcengine
from imsg_sms.http_settings import Http, HttpCheck
from imsg_web.http_pool import HttpPool


def make_account_api(account: AnyAccount, pool: HttpPool) -> AccountApi | None:
    """Return how to ask an account's provider; None for one that has no such call."""
    match account:
        case Aliyun():
            return AliyunAccount(account, pool)
        case Tencent():
            return TencentAccount(account, pool)
        case Volcengine():
            return VolcengineAccount(account, pool)
        case Twilio():
            return TwilioAccount(account, pool)
        case Http(check=HttpCheck() as call):
            return DescribedAccount(account, call, pool)
    return None
