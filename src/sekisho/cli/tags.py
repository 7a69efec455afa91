"""`sekisho tag ...`: names that keys carry, through the running control process."""

from typing import Annotated

import typer

from sekisho.cli.messages import say
from sekisho.cli.options import DEFAULT_HOME, AsJson, Home, Yes, given
from sekisho.cli.resources import Resource, made

app = typer.Typer(no_args_is_help=True, help=say("Tags that keys carry.", "キーに付けるタグを管理します。"))

TagName = Annotated[str, typer.Argument(help=say("The tag's name.", "タグの名前。"))]
Description = Annotated[str | None, typer.Option("--description", help=say("What it is for.", "何のためのタグか。"))]
TAGS = Resource(
    "tags",
    lambda tag: (tag["name"], tag["description"] or "-"),
    lambda tag: {
        say("name", "名前"): tag["name"],
        say("description", "説明"): tag["description"] or "-",
        say("created", "作成"): made(tag),
    },
    say("There are no tags yet.", "タグはまだありません。"),
)


@app.command("create", help=say("Make a tag.", "タグを作成します。"))
def create(tag: TagName, home: Home = DEFAULT_HOME, description: Description = None, as_json: AsJson = False) -> None:
    """Make a tag."""
    TAGS.create(home, {"name": tag} | given(description=description), as_json)


@app.command("list", help=say("Show all tags.", "すべてのタグを一覧表示します。"))
def list_tags(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print every tag."""
    TAGS.list(home, as_json)


@app.command("show", help=say("Show one tag.", "タグの詳細を表示します。"))
def show(tag: TagName, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Print one tag."""
    TAGS.show(home, tag, as_json)


@app.command("update", help=say("Change a tag.", "タグを変更します。"))
def update(tag: TagName, home: Home = DEFAULT_HOME, description: Description = None, as_json: AsJson = False) -> None:
    """Describe a tag anew."""
    TAGS.update(home, tag, given(description=description), as_json)


@app.command("delete", help=say("Delete a tag, its budgets and limits.", "タグと、その予算と上限を削除します。"))
def delete(tag: TagName, home: Home = DEFAULT_HOME, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a tag after asking; keys go on carrying the name."""
    TAGS.delete(home, tag, say(f"Delete the tag {tag}?", f"タグ {tag} を削除しますか？"), yes, as_json)
