"""What sender-wechat reads, and what it refuses at start."""

from pathlib import Path

import pytest

from imsg_runtime.settings import StartError, load
from imsg_wechat.main import app
from imsg_wechat.settings import ENDPOINT, Settings
from imsg_wechat.template_settings import TemplateOption

ACCOUNT = "IMSG_WECHAT__ACCOUNTS__MAIN__"
NEEDED = {
    f"{ACCOUNT}APPID": "wx2c2769f8efd9abc2",
    f"{ACCOUNT}SECRET": "hunter22",
    f"{ACCOUNT}TOKEN": "spamtest",
    f"{ACCOUNT}TEMPLATE": "TM00015",
    "IMSG_HISTORY_URL": "http://history:8000",
    "IMSG_SERVICE_KEY": "key",
}


@pytest.fixture(autouse=True)
def _get_without_redis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Read no `.env` or `imsg.toml` of the folder the tests run in."""
    monkeypatch.chdir(tmp_path)


def read(monkeypatch: pytest.MonkeyPatch, **more: str) -> Settings:
    for name, value in {**NEEDED, **more}.items():
        monkeypatch.setenv(name, value)
    return load(Settings)


def test_an_account_has_a_lower_case_name_and_wechats_own_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    wechat = read(monkeypatch).wechat
    assert set(wechat.accounts) == {"main"}
    assert wechat.accounts["main"].endpoint == ENDPOINT
    assert wechat.accounts["main"].variable == "content"
    assert wechat.uncertain == "repeat"
    assert "hunter22" not in repr(wechat)


def test_several_accounts_stand_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {name.replace("MAIN", "OTHER"): value for name, value in NEEDED.items() if "MAIN" in name}
    settings = read(monkeypatch, **other, IMSG_WECHAT__ACCOUNTS__OTHER__ENDPOINT="http://127.0.0.1:9/wx/")
    assert set(settings.wechat.accounts) == {"main", "other"}
    assert settings.wechat.accounts["other"].endpoint == "http://127.0.0.1:9/wx"


def test_more_templates_stand_in_the_toml_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "imsg.toml").write_text(
        '[wechat.accounts.main.templates]\nTM00099 = ["thing1", "time2"]\n', encoding="utf-8"
    )
    (option,) = read(monkeypatch).wechat.accounts["main"].templates["TM00099"].options
    assert isinstance(option, TemplateOption)
    assert (option.id, option.fields) == ("TM00099", {"thing1": "${thing1}", "time2": "${time2}"})


def test_a_template_is_described_in_the_toml_file_with_its_ways(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "imsg.toml").write_text(
        """
[[wechat.accounts.main.templates.order.options]]
kind = "subscribe"
id = "SUB1"
fields = { thing1 = "${goods}", time2 = "${imsg.time}" }

[[wechat.accounts.main.templates.order.options]]
id = "TM9"
fields = { thing1 = "${goods}", const2 = "已发货" }
url = "https://example.com/${number}"

[[wechat.accounts.main.templates.order.options]]
kind = "text"
text = "您的 ${goods} 已发货"
""",
        encoding="utf-8",
    )
    order = read(monkeypatch).wechat.accounts["main"].templates["order"]
    assert [option.kind for option in order.options] == ["subscribe", "template", "text"]
    assert order.params == ("goods", "number")


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ('{ id = "T", fields = { phrase1 = "已经发货了吗" } }', "phrase1"),
        ('{ id = "T", fields = { thing1 = "${imsg.weather}" } }', "imsg.weather"),
    ],
)
def test_a_template_that_can_fit_nothing_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, template: str, named: str
) -> None:
    (tmp_path / "imsg.toml").write_text(f"[wechat.accounts.main.templates]\nx = {template}\n", encoding="utf-8")
    with pytest.raises(StartError, match=named) as raised:
        read(monkeypatch)
    assert "IMSG_WECHAT__ACCOUNTS__MAIN" in str(raised.value)


def test_a_name_that_means_two_things_stops_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "imsg.toml").write_text(
        '[wechat.accounts.main.templates]\nT = ["thing1"]\n[wechat.accounts.other.templates]\nT = ["thing2"]\n',
        encoding="utf-8",
    )
    other = {name.replace("MAIN", "OTHER"): value for name, value in NEEDED.items() if "MAIN" in name}
    with pytest.raises(StartError, match="T each"):
        read(monkeypatch, **other)


def test_without_accounts_it_starts_and_has_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSG_HISTORY_URL", "http://history")
    assert load(Settings).wechat.accounts == {}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({f"{ACCOUNT}AES_KEY": "short"}, "IMSG_WECHAT__ACCOUNTS__MAIN__AES_KEY"),
        ({f"{ACCOUNT}ENDPOINT": "api.weixin.qq.com"}, "IMSG_WECHAT__ACCOUNTS__MAIN__ENDPOINT"),
        ({f"{ACCOUNT}VARIABLE": "thing 1"}, "IMSG_WECHAT__ACCOUNTS__MAIN__VARIABLE"),
        ({f"{ACCOUNT}MODE": "secret"}, "IMSG_WECHAT__ACCOUNTS__MAIN__MODE"),
        ({"IMSG_WECHAT__UNCERTAIN": "maybe"}, "IMSG_WECHAT__UNCERTAIN"),
        ({"IMSG_WECHAT__ACCOUNTS__OTHER__APPID": "wx1"}, "IMSG_WECHAT__ACCOUNTS__OTHER__SECRET"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], named: str
) -> None:
    with pytest.raises(StartError, match=named) as raised:
        read(monkeypatch, **more)
    assert "\n" not in str(raised.value)


def test_without_a_service_key_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch).model_copy(update={"service_key": ()})
    with pytest.raises(StartError, match="IMSG_SERVICE_KEY"):
        app(settings)
