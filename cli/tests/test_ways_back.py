"""`imsg doctor mail` of the mail's way back."""

from imsg.doctor.ways_back import describe_way_back, find_bounce_domains
from imsg.findings import ENGLISH, Translate
from imsg_smtp.settings import Smtp


def test_each_server_is_listed_with_how_its_bounces_come_back() -> None:
    own = {"host": "imap.qq.com", "username": "1@qq.com", "password": "x"}
    servers = {
        "netease": {"host": "smtp.163.com"},
        "qq": {"host": "smtp.qq.com", "bounce_domain": "none", "bounce_mailbox": own},
        "exmail": {"host": "smtp.exmail.qq.com", "bounce_domain": "none"},
    }
    given = {
        "host": "mail.example.com",
        "sender": "a@example.com",
        "bounce_domain": "b.example.com",
        "servers": servers,
    }
    smtp = Smtp.model_validate(given)

    lines = {name: describe_way_back(name, smtp, ENGLISH) for name in smtp.all_servers}
    assert (lines["default"].state, lines["default"].remedy) == ("come back to b.example.com", "")
    assert "IMSG_SMTP__SERVERS__NETEASE__BOUNCE_DOMAIN=none" in lines["netease"].remedy
    assert "IMSG_SMTP__SERVERS__NETEASE__BOUNCE_MAILBOX__HOST=imap.163.com" in lines["netease"].remedy
    assert ("imap.qq.com:993" in lines["qq"].state, lines["qq"].remedy) == (True, "")
    assert "IMSG_SMTP__SERVERS__EXMAIL__BOUNCE_MAILBOX__HOST=imap.exmail.qq.com" in lines["exmail"].state
    assert lines["exmail"].level == "notice"
    assert "拒收" in describe_way_back("netease", smtp, Translate("zh")).state


def test_each_domain_for_bounces_is_named_once() -> None:
    servers = {
        "second": {"host": "m.example.com"},
        "third": {"host": "m.example.com", "bounce_domain": "c.example.com"},
        "qq": {"host": "smtp.qq.com", "bounce_domain": "none"},
    }
    given = {"host": "mail.example.com", "sender": "a@example.com", "bounce_domain": "b.example.com"}

    assert find_bounce_domains(Smtp.model_validate({**given, "servers": servers})) == ["b.example.com", "c.example.com"]
    assert find_bounce_domains(None) == []
