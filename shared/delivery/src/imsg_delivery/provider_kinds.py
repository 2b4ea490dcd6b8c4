"""The kinds of accounts at providers: a channel's settings describe them once, for the form, the API and the checks."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin

from markupsafe import Markup
from pydantic import BaseModel, PrivateAttr, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from imsg_contract.provider_accounts import (
    Kind,
    KindField,
    NamedSender,
    Preset,
    ProviderAccount,
    ProviderEntry,
    ProviderTrouble,
    Remark,
    SenderDns,
    SetUp,
    ShownAccount,
    Words,
)
from imsg_runtime.settings import variable
from imsg_web.destinations import INSIDE, AddressPolicy, list_hosts, read_networks
from imsg_web.responses import UNKNOWN_FIELD

Group = TypeVar("Group", bound="ProviderGroup")

ROUTES = "routes."
"""Precedes the names of conditions that a channel keeps beside its accounts: an account may have a field of that name,
and versions that know no conditions pass them over."""

Errors = tuple[Mapping[str, Any], ...]
EntryList = Literal["signatures", "templates"]


FORBIDDEN_ADDRESS = ProviderTrouble(
    code="forbidden_address",
    zh="这个地址指向内部网络，iMSG 不会连接它。",
    en="The address leads into an internal network, to which iMSG does not connect.",
    remedy_zh="请核对地址。确实是贵方内网的接口，请在这台机器的设置 IMSG_PROVIDER_NETWORKS 中写明它的网段；"
    "链路本地地址和云主机的元数据地址一律不连接。",
    remedy_en="Correct the address. If it is one of your own, name its network in IMSG_PROVIDER_NETWORKS on this "
    "machine; link-local addresses and those of a cloud's metadata are never called.",
)


class ProviderGroup(BaseModel):
    """The settings of a channel, with its accounts at providers."""

    _destinations: AddressPolicy | None = PrivateAttr(default=None)

    @property
    def destinations(self) -> AddressPolicy:
        """The addresses that the accounts' URLs may lead to; all that settings name, where auth has added none."""
        return self._destinations or limit_destinations((), self)

    def limit(self, destinations: AddressPolicy) -> None:
        """Limit the addresses: accounts of auth were added, which name no internal one."""
        self._destinations = destinations


def limit_destinations(networks: Sequence[str], own: object) -> AddressPolicy:
    """Return the policy of providers' URLs: internal addresses only where settings of this machine name them.

    `networks` is `IMSG_PROVIDER_NETWORKS`, `own` are the channel's settings without the accounts of auth.
    """
    setting = variable("provider_networks")
    return AddressPolicy(read_networks(networks), "accounts of providers", setting, hosts=list_hosts(own))


def find_destinations(settings: ProviderGroup | None) -> AddressPolicy:
    """Return the policy of a channel's settings; without them, as in measurements, all that is not forbidden."""
    return INSIDE if settings is None else settings.destinations


MAX_QUOTED = 160


def quote(answer: str) -> str:
    """Return what a stranger answered as it is shown to people: without markup, in one line, 160 characters at most."""
    text = Markup(answer).striptags()  # noqa: S704  it is taken apart, not trusted
    return text if len(text) <= MAX_QUOTED else f"{text[: MAX_QUOTED - 1]}…"


class AccountFault(Exception):  # noqa: N818  an answer
    """The provider does not take the account."""

    def __init__(self, trouble: ProviderTrouble) -> None:
        super().__init__(trouble.en)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class FormField:
    """Marks a field of a model, by `Annotated`, as one that the web page and the API set.

    The English help is the field's docstring.
    """

    zh: str
    en: str
    help_zh: str
    rare: bool = False
    """Whether few need it: the form shows it behind the others."""
    route: bool = False
    """Whether it says what the account is used for: the API has it in `routes`, beside `settings`."""
    when: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Other fields of the model → the values with which the form asks for it; empty: always."""


@dataclass(frozen=True, slots=True)
class FormGroup:
    """Marks a field that is a model, by `Annotated`, as one whose own marked fields the page and the API set.

    The API has them as `FIELD.NAME`. The model is set once one of its required fields is.
    """

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class ProviderKind:
    """A kind of account."""

    kind: str
    title: Words
    model: type[BaseModel]
    presets: tuple[Preset, ...] = ()
    setup: tuple[SetUp, ...] = ()
    route_model: type[BaseModel] | None = None
    """The conditions of an account, where its channel keeps them beside its accounts."""

    @property
    def fields(self) -> Mapping[str, FieldInfo]:
        """The fields that are set in the page, in their order, those first that are required."""
        conditions = {} if self.route_model is None else _list_marked(self.route_model)
        marked = {**_list_marked(self.model), **{f"{ROUTES}{name}": info for name, info in conditions.items()}}
        return dict(sorted(marked.items(), key=lambda item: "." in item[0] or not item[1].is_required()))

    def place(self, errors: Errors) -> Errors:
        """Return the errors with their fields under `settings` or `routes`, and ours also in Chinese."""
        marks = {name.removeprefix(ROUTES): find_form_field(info) for name, info in self.fields.items()}
        return tuple(_place(error, marks.get(".".join(map(str, error["loc"][1:3])))) for error in errors)

    def nest(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return an account's settings as its model takes them: the fields of a group in a table of their own."""
        nested = {name: value for name, value in settings.items() if name.partition(".")[0] not in self._groups}
        for group, (_, model) in self._groups.items():
            prefix = f"{group}."
            members = {name.removeprefix(prefix): value for name, value in settings.items() if name.startswith(prefix)}
            if any(info.is_required() and name in members for name, info in model.model_fields.items()):
                nested[group] = members
        return nested

    @property
    def _groups(self) -> Mapping[str, tuple[FormGroup, type[BaseModel]]]:
        return _list_groups(self.model)

    def describe(self, public_url: str) -> Kind:
        """Describe it to auth."""
        setup = tuple(
            step.model_copy(update={"value": step.value.replace("{public_url}", public_url)}) for step in self.setup
        )
        fields = tuple(
            _describe_field(name, info, self._groups.get(name.partition(".")[0])) for name, info in self.fields.items()
        )
        return Kind(kind=self.kind, title=self.title, fields=fields, presets=self.presets, setup=setup)


@dataclass(frozen=True, slots=True)
class SenderSettings(Generic[Group]):
    """How the settings of a channel hold the senders that a send may name."""

    list: Callable[[Group], tuple[NamedSender, ...]]
    add: Callable[[Group, Sequence[NamedSender]], Group]
    """Adds senders of auth; those of the settings stay."""
    examine: Callable[[Group | None, str, bool], Awaitable[SenderDns | None]] | None = None
    """Looks up the DNS records of a sender's domain, and describes them in English, or else in Chinese.

    An empty domain is that of the default sender; None where there is none."""
    check_signature: Callable[[Group | None, str], Awaitable[Sequence[Remark]]] | None = None
    """Asks the accounts for a signature; returns what is wrong with it."""


@dataclass(frozen=True, slots=True)
class AccountSettings(Generic[Group]):
    """How the settings of a channel hold its accounts."""

    model: type[Group]
    table: str
    """The field of the channel's settings that has the accounts, by their names."""
    kinds: Sequence[ProviderKind]
    list_accounts: Callable[[Group], Mapping[str, tuple[str, BaseModel]]]
    """Returns the accounts by their names, each with its kind."""
    check: Callable[[Group, str], Awaitable[Sequence[ProviderTrouble]]]
    """Calls the provider of an account without sending anything; returns what is wrong, the worst first."""
    list_entries: Callable[[Group, str, EntryList], Awaitable[Sequence[ProviderEntry] | None]] | None = None
    """Asks the provider for the signatures or templates of an account; None where it has no call for them.

    Raises AccountFault."""
    complete: Callable[[Mapping[str, Any], Sequence[ProviderAccount]], Mapping[str, Any]] = lambda merged, _: merged
    """Completes the settings once accounts were added to them."""

    senders: SenderSettings[Group] | None = None
    find_conditions: Callable[[Group, str], BaseModel | None] = lambda _group, _name: None
    """Returns the conditions of an account, where they are kept beside the accounts."""

    explain: Callable[[str], ProviderTrouble | None] = lambda _answer: None
    """Says why a provider refused a send, given its code and words; None where the code is not known."""

    def merge(self, own: Mapping[str, Any], accounts: Sequence[ProviderAccount]) -> Mapping[str, Any]:
        """Add accounts to the channel's own settings; the result is for `model`."""
        kinds = {kind.kind: kind for kind in self.kinds}
        added = {
            account.name: {**kinds[account.kind].nest(account.settings), "kind": account.kind}
            for account in accounts
            if account.kind in kinds
        }
        return self.complete({**own, self.table: {**own.get(self.table, {}), **added}}, accounts)

    def build(self, own: Mapping[str, Any], accounts: Sequence[ProviderAccount], networks: Sequence[str]) -> Group:
        """Make the channel's settings with accounts added. Raises ValidationError."""
        group = self.model.model_validate(self.merge(own, accounts))
        group.limit(limit_destinations(networks, own))
        return group

    def show(self, group: Group, *, is_simulated: bool) -> tuple[ShownAccount, ...]:
        """Return the accounts of the settings without secrets."""
        return tuple(
            ShownAccount(
                name=name,
                kind=kind,
                settings=self._show(kind, self.find_conditions(group, name), ROUTES) | self._show(kind, model),
                simulated=is_simulated,
            )
            for name, (kind, model) in self.list_accounts(group).items()
        )

    def validate(self, own: Mapping[str, Any], accounts: Sequence[ProviderAccount], name: str) -> Errors:
        """Return the errors of one account, then those of all accounts together."""
        account = next(account for account in accounts if account.name == name)
        kind = next((kind for kind in self.kinds if kind.kind == account.kind), None)
        if kind is None:
            known = ", ".join(kind.kind for kind in self.kinds)
            return ({"loc": ("kind",), "type": "literal_error", "msg": "", "ctx": {"expected": known}},)
        unknown = [field for field in account.settings if field not in kind.fields]
        if unknown:
            context = {"name": unknown[0], "known": sorted(kind.fields)}
            return ({"loc": ("settings",), "type": UNKNOWN_FIELD, "msg": "", "ctx": context},)
        try:
            own_fields, conditions = split_settings(account.settings)
            kind.model.model_validate(kind.nest(own_fields))
            if kind.route_model is not None:
                kind.route_model.model_validate(conditions)
        except ValidationError as error:
            return kind.place(_list_errors(error, None))
        try:
            self.model.model_validate(self.merge(own, accounts))
        except ValidationError as error:
            return kind.place(_list_errors(error, name))
        return ()

    def _show(self, name: str, model: BaseModel | None, prefix: str = "") -> dict[str, Any]:
        if model is None:
            return {}
        kind = next(kind for kind in self.kinds if kind.kind == name)
        names = [name for name in type(model).model_fields if name in model.model_fields_set]
        values = {f"{prefix}{name}": getattr(model, name) for name in names if f"{prefix}{name}" in kind.fields}
        for group in _list_groups(type(model)):
            members = getattr(model, group)
            values |= {
                f"{group}.{name}": getattr(members, name)
                for name in (() if members is None else members.model_fields_set)
                if f"{group}.{name}" in kind.fields
            }
        return {
            field: {"set": True} if _is_secret(kind.fields[field]) else _dump(value)
            for field, value in values.items()
            if value is not None
        }


def split_settings(settings: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the fields of an account, and the conditions that are kept beside it."""
    conditions = {name.removeprefix(ROUTES): value for name, value in settings.items() if name.startswith(ROUTES)}
    return {name: value for name, value in settings.items() if not name.startswith(ROUTES)}, conditions


def _list_marked(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return the marked fields, those of a group as `GROUP.NAME`."""
    marked: dict[str, FieldInfo] = {}
    groups = _list_groups(model)
    for name, info in model.model_fields.items():
        if find_form_field(info) is not None:
            marked[name] = info
        elif name in groups:
            _, members = groups[name]
            marked |= {f"{name}.{member}": own for member, own in _list_marked(members).items()}
    return marked


def _list_groups(model: type[BaseModel]) -> Mapping[str, tuple[FormGroup, type[BaseModel]]]:
    """Return the fields that are marked as groups, each with its mark and its model."""
    return {
        name: (mark, member)
        for name, info in model.model_fields.items()
        for mark in info.metadata
        if isinstance(mark, FormGroup)
        for member in _flatten(info.annotation)
        if isinstance(member, type) and issubclass(member, BaseModel)
    }


def find_form_field(info: FieldInfo) -> FormField | None:
    """Return the mark of a field; None without one."""
    return next((mark for mark in info.metadata if isinstance(mark, FormField)), None)


def _place(error: Mapping[str, Any], mark: FormField | None) -> Mapping[str, Any]:
    """Return an error with its field under `routes` where it belongs.

    Validators of settings give English alone; the Chinese text is the field's help.
    """
    if mark is None:
        return error
    if error["type"] == "value_error":
        words = {
            "zh": mark.help_zh.replace("`", "").removesuffix("。"),
            "en": error["msg"].removeprefix("Value error, "),
        }
        error = {**error, "type": "wrong", "ctx": words}
    return {**error, "loc": ("routes", *error["loc"][1:])} if mark.route else error


def _list_errors(error: ValidationError, name: str | None) -> Errors:
    """Return errors as JSON; `name` is the account below which a field of all settings is looked for."""
    return tuple(
        {
            "loc": ("settings", *_cut(problem["loc"], name)),
            "type": problem["type"],
            "msg": problem["msg"],
            "ctx": {key: value for key, value in problem.get("ctx", {}).items() if key != "error"},
        }
        for problem in error.errors(include_url=False, include_input=False)
    )


def _cut(place: tuple[int | str, ...], name: str | None) -> tuple[int | str, ...]:
    if name is None:
        return place
    return place[place.index(name) + 1 :] if name in place else place[-1:]


def _describe_field(name: str, info: FieldInfo, group: tuple[FormGroup, type[BaseModel]] | None = None) -> KindField:
    mark = find_form_field(info)
    assert mark is not None  # noqa: S101  only marked fields are described
    kinds = list(_flatten(info.annotation))
    choices = tuple(str(value) for kind in kinds if get_origin(kind) is Literal for value in get_args(kind))
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    prefix = "" if group is None else f"{name.partition('.')[0]}."
    return KindField(
        name=name.removeprefix(ROUTES),
        key=name if name.startswith(ROUTES) else "",
        title=Words(zh=mark.zh, en=mark.en),
        help=Words(zh=mark.help_zh, en=" ".join((info.description or "").split())),
        type=_name_type(kinds, choices),
        choices=choices,
        secret=_is_secret(info),
        required=info.is_required() and group is None,
        rare=mark.rare,
        route=mark.route,
        group=None if group is None else Words(zh=group[0].zh, en=group[0].en),
        when={f"{prefix}{other}": tuple(values) for other, values in mark.when.items()},
        default=_dump(default),
    )


def _name_type(kinds: Sequence[Any], choices: Sequence[str]) -> Literal["text", "number", "boolean", "choice", "list"]:
    if choices:
        return "choice"
    if bool in kinds:
        return "boolean"
    return "number" if int in kinds else "list" if tuple in kinds else "text"


def _is_secret(info: FieldInfo) -> bool:
    return SecretStr in _flatten(info.annotation)


def _dump(value: object) -> Any:  # noqa: ANN401  JSON
    return (
        list(value)
        if isinstance(value, tuple | frozenset)
        else value
        if isinstance(value, bool | int | None)
        else str(value)
    )


def _flatten(annotation: Any) -> Iterator[Any]:  # noqa: ANN401  any annotation
    """Yield the types inside an annotation, and `tuple` where there is one."""
    origin = get_origin(annotation)
    if origin is None or origin is Literal:
        yield annotation
        return
    if origin is tuple:
        yield tuple
    for part in get_args(annotation)[: 1 if origin is Annotated else None]:
        yield from _flatten(part)
