"""The providers of the descriptions that come with iMSG, as kinds of accounts: the form of each, and its settings."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, create_model

from imsg_contract.provider_accounts import SetUp, Words
from imsg_delivery.provider_kinds import FormField, ProviderKind
from imsg_sms.http_settings import Http, read_description
from imsg_sms.settings import SmsRoute


class DescribedField(BaseModel):
    """What the form says of a placeholder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Words
    help: Words
    secret: bool = True


class DescribedForm(BaseModel):
    """The table `form` of a description."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Words
    settings: tuple[str, ...]
    """Settings of `Http` that the form has too."""
    fields: Mapping[str, DescribedField]
    """The placeholders that the description needs."""


def make_kind(name: str, receipts: SetUp) -> ProviderKind:
    """Make the kind of a description. `receipts` says where its provider pushes what it pushes."""
    description = read_description(name)
    form = DescribedForm.model_validate(description["form"])
    fields = {
        **{field: _make_field(words) for field, words in form.fields.items()},
        **{field: _copy_field(field, description) for field in form.settings},
    }
    model: type[BaseModel] = create_model(name.title(), __config__=ConfigDict(frozen=True), **fields)
    return ProviderKind(
        name, form.title, model, setup=(receipts,) if "hook_secret" in form.settings else (), route_model=SmsRoute
    )


def make_settings(kind: ProviderKind, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of `Http` for those of an account of a description."""
    own = {name: value for name, value in settings.items() if name in Http.model_fields}
    secrets = {name: value for name, value in settings.items() if name not in own}
    return {**own, "kind": "http", "use": kind.kind, "secrets": secrets}


def show_settings(kind: ProviderKind, account: Http) -> BaseModel:
    """Return what the page shows of an account of the settings: all of `secrets` and the URL stay hidden."""
    hidden = [name for name, info in kind.fields.items() if info.annotation is SecretStr]
    shown: dict[str, Any] = {name: account.secrets[name] for name in hidden if name in account.secrets}
    own = {name: getattr(account, name) for name in ("signature", "suffix", "hook_secret") if name in kind.fields}
    return kind.model.model_construct(**shown, **{name: value for name, value in own.items() if value})


def _make_field(field: DescribedField) -> Any:  # noqa: ANN401  what create_model takes
    kind: Any = SecretStr if field.secret else str
    mark = FormField(field.title.zh, field.title.en, field.help.zh)
    return Annotated[kind, Field(min_length=1, description=field.help.en), mark], ...


def _copy_field(name: str, description: Mapping[str, Any]) -> Any:  # noqa: ANN401  what create_model takes
    """Return the type and field info of a field of `Http`, with the description's default."""
    info = Http.model_fields[name]
    kind: Any = info.annotation
    for mark in info.metadata:
        kind = Annotated[kind, mark]
    default = description.get(name, None if info.is_required() else info.default)
    return Annotated[kind, Field(description=info.description)], default
