"""The settings of the WeCom channel, checked at start."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from imsg_channels.wecom import read_robot
from imsg_delivery.channel import Uncertain
from imsg_delivery.provider_kinds import FormField, ProviderGroup
from imsg_runtime.lines import fill
from imsg_runtime.settings import SenderSettings

ENDPOINT = "https://qyapi.weixin.qq.com"


def _is_key(key: SecretStr) -> SecretStr:
    value = key.get_secret_value()
    if not value or not value.isascii() or not all(letter.isalnum() or letter in "-_" for letter in value):
        raise ValueError(fill("is the value of key= in the robot's webhook URL: letters, digits, - and _"))
    return key


def _read_robot(name: object) -> object:
    robot = read_robot(name) if isinstance(name, str) else None
    if robot is None:
        raise ValueError(fill("a robot's name has letters, digits, - and _, 64 at most"))
    return robot


class Robot(BaseModel):
    """One robot. Its key alone allows posting to its group."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    key: Annotated[
        SecretStr,
        AfterValidator(_is_key),
        FormField("密钥", "Key", "机器人 Webhook 地址中 `key=` 之后的部分。有了它，任何人都可以在群里发言。"),
    ]
    """The part after `key=` of the robot's webhook URL. Its holder can write into the group."""
    endpoint: Annotated[
        str,
        Field(pattern=r"^https?://[^\s/?#]+[^\s?#]*$"),
        FormField("接口地址", "API URL", "企业微信接口的网址。", rare=True),
    ] = ENDPOINT
    """The URL of WeCom's API."""


class WeCom(ProviderGroup):
    """Settings under `IMSG_WECOM__`."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    robots: Annotated[dict[Annotated[str, BeforeValidator(_read_robot)], Robot], Field(min_length=1)]
    """The robots, by the names that a send uses as recipients."""
    per_minute: Annotated[int, Field(ge=1, le=20)] = 20
    """How many messages a minute each robot sends, over all senders together. WeCom takes 20."""
    uncertain: Uncertain = "stop"
    """What happens to a message whose result is unknown: `repeat` sends it again, `stop` settles it `uncertain`."""


class Settings(SenderSettings):
    """The settings of sender-wecom."""

    wecom: WeCom
