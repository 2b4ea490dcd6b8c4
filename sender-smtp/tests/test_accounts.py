"""What is wrong with an account at a mail server, in words."""

from imsg_contract.results import Again
from imsg_smtp.accounts import explain
from imsg_smtp.settings import MailServerSettings


def test_a_refused_log_in_is_reported_with_its_code_once() -> None:
    failure = Again("server", "535 5.7.8", "server refused the log-in, so correct it: 5.7.8 Bad credentials", 60.0)
    trouble = explain(failure, MailServerSettings(host="mail.example.com", port=465), is_login=True)
    assert trouble.zh == "mail.example.com:465 拒绝登录（服务器答复：535 5.7.8 Bad credentials）。"
