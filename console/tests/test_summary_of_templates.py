"""A message by a user's template is summed up by its words, or by the values that a provider gets."""

from imsg_console.message.summary import read_params, text


def test_a_message_by_a_template_is_summed_up_by_what_was_sent() -> None:
    entry = {"template": "SMS_1", "variables": {"name": "张三"}}
    sms = {"template": "order", "version": 1, "providers": {"aliyun": entry}}
    assert text(sms) == "order name: 张三"
    assert read_params({"template": "SMS_1", "params": {"code": "1"}}) == {"code": "1"}
    assert text({"template": "order", "version": 1, "subject": "您好", "text": "订单已发货"}) == "订单已发货"
