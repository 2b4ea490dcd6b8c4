"""Which column of a sheet fills which param of a template: by its name, or by the same word in Chinese or English."""

from collections.abc import Iterable, Mapping

from imsg_console.recipients.headings import strip_heading

_SAME = """
    name 姓名 名字 称呼 fullname studentname 学生姓名 员工姓名 客户姓名 收件人姓名 联系人
    code 验证码 校验码 动态码 otp verificationcode
    phone 手机 手机号 手机号码 电话 电话号码 联系电话 mobile mobilephone phonenumber
    email 邮箱 电子邮箱 邮件地址 mail
    class 班级 班 classname
    grade 年级
    school 学校
    score 成绩 分数 得分 mark
    course 课程 科目 学科
    teacher 老师 教师 班主任
    student 学生
    parent 家长
    studentid 学号 studentno studentnumber
    staffid 工号 employeeid
    date 日期
    time 时间
    place 地点 位置 location venue
    address 地址
    room 教室 房间 房间号 考场
    seat 座位 座位号
    company 公司 单位
    department 部门 院系
    position 职位 职务
    amount 金额 费用 应缴金额 fee
    price 价格 单价
    balance 余额
    order 订单 订单号 订单编号 orderid orderno ordernumber
    product 商品 产品 商品名称 产品名称 goods
    tracking 快递单号 运单号 trackingnumber
    link 链接 网址 url
    city 城市
    gender 性别 sex
    birthday 生日 出生日期
    remark 备注 note
"""
"""A line for each thing."""

_THINGS: Mapping[str, int] = {word: n for n, words in enumerate(_SAME.strip().splitlines()) for word in words.split()}


def find_column(param: str, columns: Iterable[str]) -> str | None:
    """Return the column that fills a param: one of its name, else the only one that says the same; None: none does."""
    wanted, names = strip_heading(param), {name: strip_heading(name) for name in columns}
    if name := next((name for name, plain in names.items() if plain == wanted), None):
        return name
    thing = _THINGS.get(wanted)
    same = [name for name, plain in names.items() if thing is not None and _THINGS.get(plain) == thing]
    return same[0] if len(same) == 1 else None
