"""The list of messages: every filter, live updates, pages, export."""

import csv
import io
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import python_calamine
from playwright.sync_api import Locator, Page, expect

from imsg_testing.api import PASSWORD
from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.message_pages import address, query, rows
from imsg_testing.page_actions import choose, log_in, open_page, send_and_settle
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

LOW_PX = 70
"""Two lines; three of them are higher."""

EN = Look("en", PHONE)


def choose_status(page: Page, name: str) -> None:
    choose(page, page.get_by_label("状态"), name)


def test_filters_stand_in_the_address_and_a_shared_one_finds_the_same(deployment: Deployment, visit: Visits) -> None:
    to = address()
    send_and_settle(deployment, [to, f"bounce+{to}"], subject="筛选")
    send_and_settle(deployment, to, subject="别的")
    seen = visit()
    page = log_in(seen)
    page.goto("/messages")
    page.get_by_label("收件人", exact=True).fill(f"bounce+{to}")
    page.get_by_label("收件人", exact=True).press("Enter")
    expect(rows(page)).to_have_count(1)
    choose_status(page, "失败")
    expect(rows(page)).to_contain_text("没有这个收件人")
    expect(page).to_have_url(re.compile("status=failed"))
    assert query(page) == {"status": "failed", "to": f"bounce+{to}"}

    page.goto(page.url)
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_label("状态")).to_have_value("失败")
    choose_status(page, "已送达")
    expect(page.get_by_text("没有符合筛选条件的消息")).to_be_visible()
    choose_status(page, "全部")
    page.get_by_role("button", name=re.compile("^去掉筛选：.?收件人")).click()
    expect(page).not_to_have_url(re.compile("to="))
    page.get_by_role("search").get_by_role("button", name="筛选").click()
    choose(page, page.get_by_label("方式"), "短信")
    expect(page).to_have_url(re.compile("method=sms"))
    page.get_by_label("收件人", exact=True).fill(to)
    page.get_by_label("收件人", exact=True).press("Enter")
    expect(page).to_have_url(re.compile("to="))
    page.get_by_role("button", name="清除筛选").first.click()
    expect(page).to_have_url(re.compile("/messages$"))
    page.get_by_label("编号").fill("这不是编号")
    page.get_by_label("编号").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("32 位十六进制")


@pytest.mark.parametrize("look", [Look("zh", 1280), EN], ids=lambda look: look.name)
def test_a_request_is_one_row_that_opens_into_its_recipients(deployment: Deployment, visit: Visits, look: Look) -> None:
    name, to = deployment.new_user(per_day=100, per_hour=100), address()
    token = deployment.token(name, "correct horse")
    many = send_and_settle(
        deployment, [to, f"bounce+{to}", *(f"{n}+{to}" for n in range(12))], token=token, subject="一批"
    )
    send_and_settle(deployment, f"alone+{to}", token=token, subject="另一封")
    seen = visit(look)
    log_in(seen)
    page, is_zh = seen.page, look.language == "zh"
    page.goto(f"/messages?username={name}")
    expect(rows(page)).to_have_count(2)
    row = rows(page).filter(has_text="一批")
    expect(row).to_contain_text("已发出 13" if is_zh else "Sent 13")
    expect(row).to_contain_text("失败 1" if is_zh else "Failed 1")
    row.locator(".table-created").click()
    opened = page.locator(".table-opened")
    expect(opened.locator(".table-line")).to_have_count(11)
    expect(opened.locator(".table-line").first).to_contain_text(f"bounce+{to}")
    expect(opened).to_contain_text(f"bounce+{to}")
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("request-opened")
    if look.width > PHONE:
        for first in ("一批", "另一封"):
            page.get_by_role("button", name="内容", exact=True).click()
            expect(rows(page).first).to_contain_text(first)
    opened.get_by_role("link", name=re.compile("全部 14|all 14")).click()
    expect(rows(page)).to_have_count(14)
    assert query(page) == {"id": many}


def _is_low(row: Locator) -> bool:
    box = row.bounding_box() if row.is_visible() else None  # none while the row is drawn anew
    return box is not None and box["height"] < LOW_PX


def test_a_row_is_low_and_breaks_no_address(deployment: Deployment, visit: Visits) -> None:
    """However long its subject, its address and the name of its sender are."""
    username = f"library-system-{secrets.token_hex(3)}"
    body = {"username": username, "password": PASSWORD, "token": deployment.token(), "email": "a" * 30 + "@example.com"}
    assert deployment.call("POST", "/api/v2/register", body)["errorCode"] == 0
    to = f"{secrets.token_hex(10)}.with.a.long.name@library.example.com"
    send_and_settle(deployment, to, token=deployment.token(username, PASSWORD), subject="您预约的图书已到馆，" * 9)
    seen = visit(Look("zh", DESK))
    log_in(seen)
    for path, text in (
        (f"/messages?username={username}", to), (f"/?username={username}", username),
        (f"/users?search={username}", "@example.com"),
    ):  # fmt: skip
        seen.page.goto(path)
        row = seen.page.locator(".table-row").filter(has_text=text).first
        wait(partial(_is_low, row), 60)


@pytest.mark.parametrize("part", ["bounce+", "BOUNCE+reader"])
def test_a_part_of_a_recipient_finds_it(deployment: Deployment, visit: Visits, part: str) -> None:
    name, to = deployment.new_user(), address()
    send_and_settle(deployment, [to, f"bounce+{to}"], token=deployment.token(name, "correct horse"), subject="一部分")
    seen = visit()
    page = log_in(seen)
    page.goto(f"/messages?username={name}")
    page.get_by_label("收件人", exact=True).fill(part)
    page.get_by_label("收件人", exact=True).press("Enter")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text(f"bounce+{to}")


def test_a_username_is_offered_by_a_part_of_it(deployment: Deployment, visit: Visits) -> None:
    name = deployment.new_user()
    seen = visit()
    page = log_in(seen)
    open_page(page, "/messages")
    page.get_by_role("search").get_by_role("button", name="筛选").click()
    typed = page.get_by_label("用户", exact=True)
    typed.click()  # waits until the fields are unfolded: what is typed before goes nowhere
    typed.press_sequentially(name[3:9])
    page.get_by_role("group", name="用户名").get_by_text(name).click()
    expect(page).to_have_url(re.compile("username="))
    assert query(page) == {"username": name}
    seen.axe()


def test_a_span_of_time_is_one_click(deployment: Deployment, visit: Visits) -> None:
    name = deployment.new_user()
    send_and_settle(deployment, address(), token=deployment.token(name, "correct horse"))
    seen = visit()
    page = log_in(seen)
    page.goto(f"/messages?username={name}")
    for span, count in (("昨天", 0), ("今天", 1), ("本月", 1)):
        page.locator(".filters-span", has_text=span).click()
        expect(page).to_have_url(re.compile("since="))
        expect(rows(page)).to_have_count(count)


def test_what_is_sent_later_is_one_click(deployment: Deployment, visit: Visits) -> None:
    name = deployment.new_user()
    token, to = deployment.token(name, "correct horse"), address()
    send_and_settle(deployment, address(), token=token)
    message = {"to": to, "method": "smtp", "content": {"subject": "s", "text": "t"}, "token": token}
    due = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    later = deployment.call("POST", "/api/v2/messages", {**message, "send_at": due})["id"]
    wait(lambda: deployment.call("GET", f"/api/v2/requests/{later}", token=token)["errorCode"] == 0, 60)
    seen = visit()
    page = log_in(seen)
    page.goto(f"/messages?username={name}")
    expect(rows(page)).to_have_count(2)
    page.locator(".filters-later").click()
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text(to)
    seen.axe()


def test_the_second_page_the_last_by_its_number_and_the_way_back(deployment: Deployment, visit: Visits) -> None:
    everybody = [f"page-{n}-{address()}" for n in range(120)]
    request = send_and_settle(deployment, everybody, subject="翻页")
    seen = visit(Look("en", DESK))
    page = log_in(seen)
    page.goto(f"/messages?id={request}")
    expect(rows(page)).to_have_count(50)
    expect(page.get_by_text("120 in all")).to_be_visible()
    head = rows(page).first
    heads = [head.inner_text()]
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("Page 2", exact=True)).to_be_visible()
    wait(lambda: head.inner_text() != heads[0], 60)
    heads.append(head.inner_text())
    page.get_by_label("Go to page").fill("1000")
    page.get_by_label("Go to page").press("Enter")
    expect(page.get_by_text("Page 3", exact=True)).to_be_visible()
    expect(rows(page)).to_have_count(20)
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    expect(page.get_by_text("120 in all")).to_be_visible()

    page.goto(page.url)
    expect(page.get_by_text("Page 3", exact=True)).to_be_visible()
    for number in (2, 1):
        page.get_by_role("button", name="Previous").click()
        expect(page.get_by_text(f"Page {number}", exact=True)).to_be_visible()
        wait(lambda wanted=heads[number - 1]: head.inner_text() == wanted, 60)  # type: ignore[misc]


def test_what_arrives_shows_by_itself_but_not_under_the_readers_hand_nor_while_paused(
    deployment: Deployment, visit: Visits
) -> None:
    to = address()
    seen = visit()
    page = log_in(seen)
    page.goto(f"/messages?to={to}")
    expect(page.get_by_text("没有符合筛选条件的消息")).to_be_visible()
    send_and_settle(deployment, to, subject="第一封")
    expect(rows(page)).to_have_count(1)

    rows(page).first.hover()
    send_and_settle(deployment, to, subject="第二封")
    news = page.get_by_role("button", name="1 条新消息，点击显示")
    expect(news).to_be_visible()
    expect(rows(page)).to_have_count(1)
    news.click()
    expect(rows(page)).to_have_count(2)
    expect(rows(page).first).to_contain_text("第二封")

    page.get_by_role("button", name="实时").click()
    expect(page.get_by_role("button", name="已暂停")).to_have_attribute("aria-pressed", "false")
    send_and_settle(deployment, to, subject="第三封")
    expect(news).to_be_hidden()
    page.get_by_role("button", name="已暂停").click()
    expect(page.get_by_text("第三封").or_(news).first).to_be_visible()


def test_an_export_holds_every_page_whole_and_runs_nothing(
    deployment: Deployment, visit: Visits, tmp_path: Path
) -> None:
    everybody = [f"export-{n}-{address()}" for n in range(520)]
    request = send_and_settle(deployment, everybody, subject="=1+1 导出")
    seen = visit()
    page = log_in(seen)
    page.goto(f"/messages?id={request}")
    page.get_by_role("button", name="导出", exact=True).click()
    expect(page.get_by_role("button", name="CSV")).to_be_visible()
    seen.axe()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="CSV").click()
    place = tmp_path / "export.csv"
    downloading.value.save_as(place)
    assert downloading.value.suggested_filename.startswith("iMSG ")
    text = place.read_bytes().decode()
    assert text.startswith("\ufeff编号,")
    lines = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    assert {line["收件人"] for line in lines} == set(everybody)
    assert {line["主题"] for line in lines} == {"'=1+1 导出"}
    expect(page.locator(".q-menu")).to_have_count(0)
    page.get_by_role("button", name="导出", exact=True).click()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Excel（.xlsx）").click()
    place = tmp_path / "export.xlsx"
    downloading.value.save_as(place)
    assert downloading.value.suggested_filename.endswith(".xlsx")
    with python_calamine.CalamineWorkbook.from_path(place) as book:
        heading, *rows_of_it = book.get_sheet_by_index(0).to_python()
    matches = [dict(zip(heading, row, strict=True)) for row in rows_of_it]
    assert {line["收件人"] for line in matches} == set(everybody)
    assert {line["主题"] for line in matches} == {"=1+1 导出"}  # text, which no spreadsheet runs
    page.get_by_role("button", name=re.compile("任务")).click()
    expect(page.get_by_text("完成 · 已处理 520")).to_have_count(2)
