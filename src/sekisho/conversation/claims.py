"""What a client says of its own conversation, in headers and body fields. For grouping only, never for permission.

Above: whoever assigns tasks. Below: the bytes of one request. Source: requests recorded from the real agents.
"""

import re
from collections.abc import Mapping

import msgspec

_MOST_CHARACTERS = 128
# A cache key that is meant for one conversation; applications also send a fixed word for all their calls.
_UNIQUE = re.compile(r"(?=.*\d)[\w.:/-]{16,128}\Z")


class Claims(msgspec.Struct, frozen=True):
    """`session` names the conversation, `parent` the one that started it, `agent` the one of several agents in it.

    `root_turn`: names the person's turn that all of this is done for. `kind`: "compaction" or "sub_agent" where the
    client says so. `is_retry`: the client's library says that it sends the same again."""

    session: str = ""
    parent: str = ""
    agent: str = ""
    root_turn: str = ""
    kind: str = ""
    repository: str = ""
    branch: str = ""
    is_retry: bool = False


class _Turn(msgspec.Struct):
    """Codex's turn metadata."""

    agent_name: str = ""
    thread_source: str = ""
    request_kind: str = ""
    root_turn_id: str = ""
    workspaces: dict[str, msgspec.Raw] = {}


class _Workspace(msgspec.Struct):
    branch: str = ""
    git_branch: str = ""


NOTHING = Claims()
_turn = msgspec.json.Decoder(_Turn).decode
_workspace = msgspec.json.Decoder(_Workspace).decode
_text = msgspec.json.Decoder(str).decode


def read_claims(session: str, headers: Mapping[bytes, bytes], fields: Mapping[str, msgspec.Raw]) -> Claims:
    """What is claimed beside `session`, the name of the conversation that was found already."""
    if session and _is_shared_name(session, fields):
        session = ""
    is_retry = headers.get(b"x-stainless-retry-count", b"0") != b"0"
    metadata = headers.get(b"x-codex-turn-metadata")
    if metadata is not None:
        return _codex(session, headers, metadata, is_retry)
    parent = headers.get(b"x-parent-session-id")
    agent = headers.get(b"x-claude-code-agent-id")
    if parent is None and agent is None:
        if not is_retry:
            return Claims(session) if session else NOTHING
        return Claims(session, is_retry=True)
    return Claims(
        session,
        parent=_short(parent or b""),
        agent=_short(agent or b""),
        kind="sub_agent",
        is_retry=is_retry,
    )


def last_part(path: str) -> str:
    """The last part of a path: names a repository without telling where it lies."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1][:100]


def _codex(session: str, headers: Mapping[bytes, bytes], metadata: bytes, is_retry: bool) -> Claims:
    try:
        turn = _turn(metadata)
    except msgspec.DecodeError:
        return Claims(session, is_retry=is_retry)
    kind, agent = "", ""
    if turn.agent_name not in ("", "/root") or turn.thread_source == "subagent":
        kind, agent = "sub_agent", _short(headers.get(b"thread-id", b"")) or turn.agent_name[:_MOST_CHARACTERS]
    if "compact" in turn.request_kind:
        kind = "compaction"
    path = next(iter(turn.workspaces), "")
    return Claims(
        session,
        agent=agent,
        root_turn=turn.root_turn_id[:_MOST_CHARACTERS],
        kind=kind,
        repository=last_part(path),
        branch=_branch(turn.workspaces[path]) if path else "",
        is_retry=is_retry,
    )


def _branch(workspace: msgspec.Raw) -> str:
    try:
        found = _workspace(workspace)
    except msgspec.DecodeError:
        return ""
    return (found.branch or found.git_branch)[:100]


def _is_shared_name(session: str, fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether the session is only a cache key, and one that does not look like a conversation's own."""
    raw = fields.get("prompt_cache_key")
    if raw is None or _UNIQUE.match(session):
        return False
    try:
        return _text(raw)[:_MOST_CHARACTERS] == session
    except msgspec.DecodeError:
        return False


def _short(value: bytes) -> str:
    return value.decode("latin-1")[:_MOST_CHARACTERS]
