"""What the agents of the demonstration work on: tasks as a person would give them, step by step."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from sekisho.values import Language

Deed = Literal["read", "edit", "run", "search", ""]


@dataclass(frozen=True)
class Step:
    """What the model says and does in one call. `target`: a path or a command. `size`: lines that come back."""

    says: str
    deed: Deed = ""
    target: str = ""
    old: str = ""
    new: str = ""
    result: str = ""
    size: int = 0
    is_failure: bool = False
    thinks: str = ""


@dataclass(frozen=True)
class Story:
    """A task: what the person asks, the plan that comes first where there is one, and the steps."""

    name: str
    repository: str
    branch: str
    ask: str
    plan: str
    steps: tuple[Step, ...]


_MERMAID = """```mermaid
flowchart LR
  A[{first}] --> B[{second}]
  B --> C{{{third}}}
  C -->|OK| D[{fourth}]
  C -->|NG| B
```"""


@dataclass(frozen=True)
class _Theme:
    name: str
    repository: str
    module: str
    old: str
    new: str
    ja: str
    en: str


_THEMES = (
    _Theme(
        "tax-rounding",
        "billing-api",
        "billing/tax.py",
        "return round(amount * rate)",
        "return int((amount * rate).quantize(Decimal(1), ROUND_DOWN))",
        "請求書の消費税の端数処理を、切り捨てに直してください。テストも追加してください。",
        "Round the consumption tax on invoices down instead of to even, and add tests.",
    ),
    _Theme(
        "order-search",
        "order-portal",
        "portal/search.py",
        'query = "SELECT * FROM orders"',
        'query = "SELECT id, state, placed_at FROM orders WHERE placed_at >= ?"',
        "受注検索が遅いので原因を調べて直してください。画面は変えないでください。",
        "Order search is slow. Find out why and fix it without changing the page.",
    ),
    _Theme(
        "login-lockout",
        "auth-service",
        "auth/lockout.py",
        "MAX_FAILURES = 0",
        "MAX_FAILURES = 5",
        "ログイン失敗が5回続いたら15分間ロックするようにしてください。",
        "Lock an account for 15 minutes after five failed logins.",
    ),
    _Theme(
        "csv-export",
        "report-batch",
        "report/export.py",
        'encoding="utf-8"',
        'encoding="utf-8-sig"',
        "CSV を Excel で開くと文字化けします。直してください。",
        "The CSV opens with broken characters in Excel. Please fix it.",
    ),
    _Theme(
        "retry-queue",
        "stock-sync",
        "sync/queue.py",
        "time.sleep(1)",
        "time.sleep(min(60, 2 ** attempt) * random.random())",
        "在庫連携の再送を指数バックオフにしてください。",
        "Make the stock synchronisation retry with exponential back-off.",
    ),
    _Theme(
        "health-endpoint",
        "order-portal",
        "portal/health.py",
        "return {}",
        'return {"status": "ok", "version": VERSION}',
        "ヘルスチェック用のエンドポイントを追加し、単体テストを書いてください。",
        "Add a health endpoint with a unit test.",
    ),
    _Theme(
        "types",
        "billing-api",
        "billing/models.py",
        "def total(items):",
        "def total(items: Sequence[Item]) -> Decimal:",
        "請求モジュールに型注釈を付けて、型検査が通るようにしてください。",
        "Add type annotations to the billing module until the type check passes.",
    ),
    _Theme(
        "docs",
        "auth-service",
        "docs/api.md",
        "TODO",
        "POST /sessions answers 201 with the session, 401 when the password is wrong.",
        "API の説明書を実装に合わせて書き直してください。",
        "Bring the API description in line with the code.",
    ),
)


def tell(random: Random, language: Language) -> Story:
    """A task of chance length: most are short, some go on and on."""
    theme = random.choice(_THEMES)
    ja = language == "ja"
    rounds = min(24, 2 + int(random.expovariate(0.22)))
    number = random.randint(101, 989)
    plan = _plan(theme, ja=ja) if random.random() < 0.55 else ""
    ask = f"{theme.ja}（課題 #{number}）" if ja else f"{theme.en} (issue #{number})"
    return Story(
        theme.name,
        theme.repository,
        f"feature/{theme.name}-{number}",
        ask,
        plan,
        tuple(_steps(theme, rounds, random, ja=ja)),
    )


def _plan(theme: _Theme, *, ja: bool) -> str:
    words = ("現状を読む", "直す", "テスト", "完了") if ja else ("Read", "Change", "Test", "Done")
    drawn = _MERMAID.format(first=words[0], second=words[1], third=words[2], fourth=words[3])
    if ja:
        said = f"`{theme.module}` を読んでから直し、テストで確かめます。"
        return f"{said}\n\n{drawn}\n\nこの進め方でよければ実行モードに切り替えてください。"
    said = f"I will read `{theme.module}`, change it, and prove it with tests."
    return f"{said}\n\n{drawn}\n\nSwitch to act mode if you agree."


def _steps(theme: _Theme, rounds: int, random: Random, *, ja: bool) -> Iterator[Step]:
    test = f"tests/test_{theme.name.replace('-', '_')}.py"
    yield Step(
        "まず関係するファイルを読みます。" if ja else "I will read the files first.",
        "read",
        theme.module,
        size=random.randint(300, 2400),
        thinks="どこで値が決まるかを先に確かめる。" if ja else "First see where the value comes from.",
    )
    yield Step(
        "使われている場所を探します。" if ja else "Let me find where it is used.",
        "search",
        theme.module.split("/")[-1].split(".")[0],
        size=random.randint(60, 600),
    )
    for _ in range(random.randint(0, 3)):
        yield Step(
            "呼び出し側も読みます。" if ja else "Reading a caller as well.",
            "read",
            f"{theme.module.split('/')[0]}/{random.choice(('views', 'jobs', 'client', 'schema'))}.py",
            size=random.randint(200, 1600),
        )
    yield Step(
        "ここを直します。" if ja else "This is the place to change.",
        "edit",
        theme.module,
        theme.old,
        _code(theme.new, random),
    )
    for turn in range(rounds):
        is_red = turn < rounds - 1 and random.random() < 0.75
        yield Step(
            "テストを実行します。" if ja else "Running the tests.",
            "run",
            f"pytest -q {test}",
            result=_red(theme) if is_red else "4 passed in 0.31s",
            size=random.randint(10, 400),
            is_failure=is_red,
        )
        if is_red:
            yield Step(
                "失敗の原因を読みます。" if ja else "Reading why it failed.",
                "read",
                test if random.random() < 0.5 else theme.module,
                size=random.randint(200, 2400),
                thinks="期待値が古い仕様のままかもしれない。" if ja else "The expectation may still be the old one.",
            )
            yield Step(
                "テストを新しい仕様に合わせます。" if ja else "Bringing the test in line.",
                "edit",
                test,
                f"assert value == {turn}",
                _code(f"assert value == {turn + 1}", random),
            )
    yield Step(
        f"完了しました。`{theme.module}` を直し、テストが通ることを確かめました。"
        if ja
        else f"Done. `{theme.module}` is changed and its tests pass."
    )


def _red(theme: _Theme) -> str:
    test = f"tests/test_{theme.name.replace('-', '_')}.py::test_value"
    return f"FAILED {test} - AssertionError: assert 1 == 2\n1 failed, 3 passed in 0.42s"


def _code(first: str, random: Random) -> str:
    """What the model writes: a line of the theme and some more code under it."""
    return first + "\n" + "\n".join(_lines(random, random.randint(4, 90)))


def _lines(random: Random, count: int) -> list[str]:
    words = ("order", "item", "state", "amount", "customer", "batch", "limit", "cursor", "entry", "session")
    out: list[str] = []
    while len(out) < count:
        one, two, three = random.sample(words, 3)
        out += [
            f'def {one}_{two}({three}: int, *, {two}: str = "") -> int:',
            f"    if not {two}:",
            f"        return {three}",
            f"    {one} = len({two}) * {random.randint(2, 97)}",
            f"    return {one} + {three}",
            "",
        ]
    return out[:count]


def listing(path: str, lines: int, random: Random) -> str:
    """A file as a tool shows it: believable, of no particular meaning."""
    out = [f'"""{path}"""', "", *_lines(random, max(0, lines - 2))]
    return "\n".join(f"{number} | {line}" for number, line in enumerate(out[:lines], 1))
