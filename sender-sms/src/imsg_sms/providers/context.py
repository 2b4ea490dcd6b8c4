"""The objects that all providers share."""

from collections.abc import Mapping
from dataclasses import dataclass

from imsg_channels.sms_templates import SmsTemplate
from imsg_sms.receipts import Receipts
from imsg_web.http_pool import HttpPool


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """The HTTP pool, the templates and the receipts that all accounts share."""

    pool: HttpPool
    templates: Mapping[str, SmsTemplate]
    receipts: Receipts
    public_url: str = ""
