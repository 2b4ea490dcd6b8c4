"""The sandbox as a service: its settings, and the providers that it plays over one inbox."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_network
from types import MappingProxyType
from typing import Annotated

from fastapi import FastAPI
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.routing import Route
from starlette.types import ASGIApp

from imsg_runtime.settings import Common, Strings, load
from imsg_sandbox import aliyun, mail, sms_replies, wechat, wechat_api, wechat_push, wechat_templates
from imsg_sandbox.admission import Admission
from imsg_sandbox.aliyun_rules import Frequencies
from imsg_sandbox.delivery import MailDelivery
from imsg_sandbox.faults import Faults
from imsg_sandbox.inbox import Inbox
from imsg_sandbox.magic import MagicMailboxes
from imsg_sandbox.routes import routes
from imsg_sandbox.sms import SmsProviders
from imsg_sandbox.sms_accounts import SmsSettings
from imsg_sandbox.sms_api import SmsApi, SmsPort
from imsg_sandbox.sms_callbacks import pushing as sms_pushing
from imsg_sandbox.sms_provider import SmsContext
from imsg_sandbox.sms_server import serving as sms_serving
from imsg_sandbox.smtp import SmtpSettings, serving
from imsg_sandbox.wechat_accounts import Accounts, AccountSettings
from imsg_sandbox.wecom import Webhook, WeComSettings
from imsg_sandbox.wecom import routes as wecom_routes
from imsg_web import service_client
from imsg_web.app import answer_errors
from imsg_web.callers import Apps
from imsg_web.service import Service

INBOX_BYTES = 32 * 1024 * 1024


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for network in value:
        ip_network(network, strict=False)
    return value


class SandboxSettings(BaseModel):
    """Settings under `IMSG_SANDBOX__`."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    smtp_port: int = Field(default=2525, ge=0, le=65_535)
    """The port of the sandbox's mail server. 0: any free port."""
    smtp_host: str | None = None
    """The address of the sandbox's mail server. Unset: that of the service."""
    smtp: SmtpSettings = SmtpSettings()
    wechat_hooks: str = "http://127.0.0.1:8000"
    """The URL that WeChat's events and receipts go to; `/hooks/wechat/ACCOUNT` is added."""
    wechat_receipt_s: float = Field(default=0.5, ge=0, le=60)
    """How many seconds after a WeChat message its receipt comes."""
    sms_hooks: str = "http://127.0.0.1:8000"
    """The URL that SMS receipts go to; `/hooks/sms/ACCOUNT/SECRET` is added."""
    sms_receipt_s: float = Field(default=0.3, ge=0, le=60)
    """How many seconds after an SMS its receipt comes."""
    sms_minute_s: float = Field(default=1.0, gt=0, le=60)
    """How many seconds a minute lasts where an unanswered receipt is repeated after 1, 5 and 10 minutes."""
    sms_daily: int = Field(default=50, ge=1)
    """How many notices a day one number takes of one signature and template."""
    sms_balance: int = Field(default=100_000_000, ge=0)
    """How many segments are paid for."""
    aliyun_port: int = Field(default=0, ge=0, le=65_535)
    """The port on which the SMS providers' APIs answer at their root, for SDKs. 0: any free port."""
    wechat_allowed: Annotated[Strings, AfterValidator(_networks)] = ()
    """The addresses and networks that may ask WeChat for a token. Empty: all."""
    inbox_bytes: int = Field(default=INBOX_BYTES, ge=1024)
    """How many bytes the inbox holds before the oldest messages go."""


class WeChatSettings(BaseModel):
    """The official accounts of sender-wechat, which the sandbox plays."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    accounts: dict[str, AccountSettings] = {}


class Settings(Common):
    """The settings of the sandbox."""

    gateway_url: str = "http://gateway:8000"
    """The URL of the gateway."""
    sandbox: SandboxSettings = SandboxSettings()
    wechat: WeChatSettings = WeChatSettings()
    sms: SmsSettings = SmsSettings()
    wecom: WeComSettings = WeComSettings()


class Sandbox(Service):
    """The service, with the ports of its servers once it runs."""

    smtp_port: int | None = None
    """The port of the mail server."""
    aliyun_port: int | None = None
    """The port of the SMS providers' APIs."""


def app(settings: Settings | None = None, apps: Apps = MappingProxyType({})) -> Sandbox:
    """Make the service; its `running` opens it."""
    chosen = settings or load(Settings)

    @asynccontextmanager
    async def opening(_: Service) -> AsyncIterator[ASGIApp]:
        async with AsyncExitStack() as stack:
            yield await _open_parts(chosen, apps, service, stack)

    service = Sandbox("sandbox", chosen, opening)
    return service


async def _open_parts(settings: Settings, apps: Apps, service: Sandbox, stack: AsyncExitStack) -> FastAPI:
    own = settings.sandbox
    inbox = Inbox(own.inbox_bytes, {"smtp": mail.read, wechat_api.METHOD: wechat_templates.read})
    faults = Faults()
    gateway = await stack.enter_async_context(service_client.connect(settings.gateway_url, settings.service_key, apps))
    host = own.smtp_host or settings.host
    delivery = MailDelivery(inbox, faults, MagicMailboxes(), _now)
    service.smtp_port = await stack.enter_async_context(serving(host, own.smtp_port, own.smtp, delivery))
    api = FastAPI(title="iMSG sandbox", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    answer_errors(api)
    admission = Admission(gateway, open_to_all=not settings.is_exposed)
    pusher = await stack.enter_async_context(wechat_push.pushing(own.wechat_hooks, apps))
    _play_wechat(api, settings, pusher, inbox=inbox, faults=faults, admission=admission)
    api.include_router(wecom_routes(Webhook(settings.wecom.robots, inbox, faults, time.monotonic)))

    callbacks = await stack.enter_async_context(sms_pushing(own.sms_hooks, apps, own.sms_receipt_s))
    limits = aliyun.AliyunLimits(Frequencies(own.sms_daily), own.sms_balance, own.sms_minute_s)
    context = SmsContext(inbox, faults, callbacks, own.sms_hooks, _now)
    make = SmsProviders(settings.sms.templates, context, limits).make
    providers = {name: make(name, account) for name, account in settings.sms.played.items()}
    sms_apis = {name: SmsApi(provider, faults) for name, provider in providers.items()}
    by_kind: dict[str, ASGIApp] = {
        account.kind: sms_apis[name] for name, account in reversed(list(settings.sms.played.items()))
    }
    port = SmsPort(by_kind.pop("aliyun"), by_kind)
    service.aliyun_port = await stack.enter_async_context(
        sms_serving(host, own.aliyun_port, port, service.inbound_limits)
    )
    api.include_router(routes(inbox, faults, admission, aliyun_port=service.aliyun_port))
    api.include_router(sms_replies.routes(inbox, callbacks, providers, admission))
    for name, sms_api in sms_apis.items():
        api.mount(f"/sandbox/{name}", sms_api)
        api.router.routes.append(Route(f"/sandbox/{name}", sms_api))  # for callers that omit the slash
    return api


def _play_wechat(
    api: FastAPI, settings: Settings, pusher: wechat_push.Pusher, *, inbox: Inbox, faults: Faults, admission: Admission
) -> None:
    """Add the official accounts and their followers."""
    own, accounts = settings.sandbox, Accounts(settings.wechat.accounts)
    api.include_router(wechat.routes(wechat.Followers(accounts, pusher, time.time), admission))
    allowed = [ip_network(network, strict=False) for network in own.wechat_allowed]
    calls = wechat_api.Api(accounts, faults, inbox, pusher, now=time.time, late_s=own.wechat_receipt_s, allowed=allowed)
    api.include_router(wechat_api.routes(calls), prefix=f"{wechat.PREFIX}/api")


def _now() -> datetime:
    return datetime.now(UTC)
