"""What a channel's providers accept, as its senders publish it for gateways."""

from pydantic import Field

from imsg_contract.wire import Category, Wire


class TemplateLimits(Wire):
    """What a template accepts, as its sender publishes it (JSON in `template_limits_key`).

    The gateway refuses at once what the provider would refuse later.
    """

    default: bool = False
    """Whether it is the default template, whose one variable takes free text."""
    signature: str = ""
    """The signature as recipients see it, such as `【天存】`."""
    text: str = ""
    """The fixed words around `${variable}`; empty where they are not known."""
    variables: dict[str, int | None] = Field(default_factory=dict)
    """Name → the most characters it takes; None: no limit of its own."""
    least: dict[str, int] = Field(default_factory=dict)
    """Name → the fewest characters it takes, where that is more than none."""
    kinds: dict[str, str] = Field(default_factory=dict)
    """Name → `digits` or `letters` (ASCII letters and digits), where it does not take any text."""
    links: bool = False
    breaks: bool = False
    """Whether a variable may hold a link, a line break."""


class ProviderLimits(Wire):
    """Which messages a provider may send, and what its templates accept. For WeChat it is an official account."""

    name: str
    weight: int = 1
    countries: tuple[str, ...] = ("+",)
    """The prefixes of the phone numbers (E.164) that it accepts; an empty one for any address."""
    numbers: tuple[str, ...] = ()
    """The prefixes of its route; empty, here and below: any."""
    templates: tuple[str, ...] = ()
    categories: tuple[Category, ...] = ()
    kind: str = ""
    """The kind of its account, such as `aliyun`."""
    longest: int | None = None
    """The most characters of a variable of any template."""
    limits: dict[str, TemplateLimits] | None = None
    """Template → its limits, also those of free text; None: not known, and only the sender checks."""

    @property
    def is_special(self) -> bool:
        """Whether its route has conditions: then it comes before those without."""
        return bool(self.numbers or self.templates or self.categories)

    def reaches(self, address: str) -> bool:
        """Return whether the provider takes messages to an address."""
        return address.startswith(self.countries) and (not self.numbers or address.startswith(self.numbers))


class RouteLimits(Wire):
    """The providers of a channel in their order, as its senders publish them (JSON in `route_limits_key`).

    The gateway checks a content by the limits of the providers that may send it.
    """

    providers: tuple[ProviderLimits, ...] = ()
