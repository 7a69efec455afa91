"""`sekisho health`: the processes of a running Sekisho, and how its counters and its ledger are."""

import typer

from sekisho.cli.messages import columns, say
from sekisho.cli.operator import ask
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, print_json


def health(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print how it is. Exit status 1 when something is wrong."""
    found = ask(home, "GET", "/admin/v1/status")
    counters = found["counters"]
    content = found["content"]
    is_well = not (found["journal_error"] or found["damaged"] or counters["failure"] or content["failure"])
    if as_json:
        print_json(found)
    else:
        fine = say("well", "正常")
        facts = [
            (say("Call processes", "コールプロセス"), ", ".join(sorted(found["processes"])) or say("none", "なし")),
            (say("Ledger is behind by", "台帳の遅れ"), f"{found['journal_lag_bytes']:,} B"),
            (say("Journal", "ジャーナル"), found["journal_error"] or ", ".join(found["damaged"].values()) or fine),
            (say("Counters", "カウンター"), f"{counters['engine']} {counters['address']}".strip()),
            (say("State of the counters", "カウンターの状態"), counters["failure"] or fine),
            (say("Budgets without them", "届かないときの予算"), _mode(counters["budgets_fail_mode"])),
            (say("Content of calls", "コールの内容"), content["failure"] or fine),
            (
                say("Waiting content", "保存待ちの内容"),
                f"{content['spool_bytes']:,} / {content['spool_most_bytes']:,} B",
            ),
            (say("Limits without them", "届かないときの制限"), _mode(counters["limits_fail_mode"])),
        ]
        typer.echo(columns(facts))
    if not is_well:
        raise typer.Exit(1)


def _mode(mode: str) -> str:
    if mode == "closed":
        return say("closed: calls are refused", "closed：コールを断ります")
    return say("open: each process counts by itself", "open：プロセスごとに数えます")
