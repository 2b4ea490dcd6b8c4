"""The JSON of prices, as strict models."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo

from imsg_channels import BY_NAME, METHODS
from imsg_contract.countries import is_country
from imsg_contract.prices import DECIMALS, Per, Price, read_amount, write_amount
from imsg_web.request_models import RequestModel
from imsg_web.responses import field_error
from imsg_web.schemas import AnswerPart, Success

MAX_PRICES = 2_000

_AMOUNT = r"^[0-9]{1,9}(\.[0-9]{1,6})?$"


def _read_price_method(method: str) -> str:
    if method not in METHODS:
        raise field_error(f"只能是 {'、'.join(METHODS)}", f"it must be one of {', '.join(METHODS)}")
    return method


def _has_segments(info: ValidationInfo) -> bool:
    """Return whether the price is of a channel with segments, whose addresses are numbers; True for a wrong one."""
    method = info.data.get("method")
    return method is None or BY_NAME[method].segments is not None


def _read_country(country: str | None, info: ValidationInfo) -> str | None:
    if country is None:
        return None
    if not _has_segments(info):
        raise field_error("只用于短信，请去掉", "it is for SMS alone; leave it out")
    if not is_country(country):
        raise field_error(
            "应为两个大写字母的国家或地区代码，如 CN、HK",
            "it must be a country's two capital letters, such as CN or HK",
        )
    return country


def _read_per(per: Per, info: ValidationInfo) -> Per:
    if per == "segment" and not _has_segments(info):
        raise field_error("只有短信按条计费，请改为 message", "only SMS has segments; let it be message")
    return per


def _read_currency(currency: str) -> str:
    if currency == "RMB":
        raise field_error("人民币的代码是 CNY", "the code of renminbi is CNY")
    return currency


def _read_day(day: str) -> str:
    try:
        return date.fromisoformat(day).isoformat()
    except ValueError as error:
        raise field_error(
            "应为存在的日期，如 2026-10-01", "it must be a day that exists, such as 2026-10-01"
        ) from error


class PriceBody(RequestModel):
    """One price: what a provider asks for, from a day on."""

    method: Annotated[str, AfterValidator(_read_price_method), Field(json_schema_extra={"enum": [*METHODS]})]
    provider: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="As messages and reports name it.")]
    country: Annotated[
        str | None,
        AfterValidator(_read_country),
        Field(
            description="Of the recipient's number, with sms alone; absent: every country without a price of its own.",
            json_schema_extra={"pattern": "^[A-Z]{2}$"},
        ),
    ] = None
    per: Annotated[Per, AfterValidator(_read_per), Field(description="`segment` with sms alone.")]
    amount: Annotated[
        str,
        Field(pattern=_AMOUNT, description=f"A decimal string with at most {DECIMALS} decimals."),
    ]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217."), AfterValidator(_read_currency)]
    since: Annotated[
        str,
        Field(
            alias="from",
            pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
            description="The first day, in the installation's time zone; until the next price of the same place.",
        ),
        AfterValidator(_read_day),
    ]

    def make_price(self) -> Price:
        """Return the price."""
        micros = read_amount(Decimal(self.amount))
        return Price(self.method, self.provider, self.country, self.per, micros, self.currency, self.since)


def _require_distinct(prices: list[PriceBody]) -> list[PriceBody]:
    """Require that one price holds for each provider, country and first day."""
    seen: set[tuple[str, ...]] = set()
    for price in prices:
        place = (price.method, price.provider, price.country or "", price.since)
        if place in seen:
            name = " ".join(filter(None, place))
            raise field_error(f"{name} 有两个价格，请只留一个", f"{name} has two prices; keep one of them")
        seen.add(place)
    return prices


class PricesBody(RequestModel):
    """PUT /api/prices: the whole list."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "prices": [
                        {
                            "method": "sms", "provider": "aliyun", "country": "CN", "per": "segment",
                            "amount": "0.045", "currency": "CNY", "from": "2026-10-01",
                        },
                        {
                            "method": "sms", "provider": "twilio", "per": "segment",
                            "amount": "0.0083", "currency": "USD", "from": "2026-10-01",
                        },
                    ]
                }
            ]
        }
    )  # fmt: skip

    prices: Annotated[list[PriceBody], Field(max_length=MAX_PRICES), AfterValidator(_require_distinct)]


class PriceShape(AnswerPart):
    """One price."""

    method: str
    provider: str
    country: str | None
    per: Per
    amount: str
    currency: str
    since: Annotated[str, Field(alias="from", serialization_alias="from")]


class PricesAnswer(Success):
    """The prices, in the order of their providers, countries and days; the header ETag names this state of them."""

    prices: list[PriceShape]


def show_prices(prices: Sequence[Price]) -> PricesAnswer:
    """Return the answer."""
    return PricesAnswer(
        prices=[
            PriceShape.model_validate(
                {
                    "method": price.method,
                    "provider": price.provider,
                    "country": price.country,
                    "per": price.per,
                    "amount": write_amount(price.micros),
                    "currency": price.currency,
                    "from": price.since,
                }
            )
            for price in prices
        ]
    )
