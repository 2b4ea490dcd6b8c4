"""What an administrator sets of a user in the page is what the API then says of them."""

import secrets
from collections.abc import Callable

from playwright.sync_api import expect

from imsg_testing.browser import Visit
from imsg_testing.entering import enter
from imsg_testing.stack import Stack

Visits = Callable[..., Visit]


def test_recipients_a_day_are_set_with_a_new_user_changed_and_lifted(stack: Stack, visit: Visits) -> None:
    seen, name = visit(), f"李四{secrets.token_hex(3)}"
    enter(seen)
    page = seen.page

    def limit() -> int | None:
        found: int | None = stack.call("GET", f"/api/users/{name}", token=stack.token())["recipients_per_day"]
        return found

    page.goto("/users")
    page.get_by_role("button", name="新建用户").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("用户名").first.fill(name)
    dialog.get_by_label("每天收件人").fill("200")
    dialog.get_by_role("button", name="创建用户").click()
    expect(page.get_by_role("dialog").filter(has_text=name)).to_be_visible()
    assert limit() == 200

    for typed, then in (("3000", 3_000), ("", None)):
        page.goto(f"/users?search={name}")
        page.get_by_role("button", name=f"修改 {name}").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("每天收件人").fill(typed)
        dialog.get_by_role("button", name="保存").click()
        expect(page.get_by_text("已保存").first).to_be_visible()
        assert limit() == then
