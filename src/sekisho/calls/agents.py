"""Which coding agent is calling, as far as its headers and prompt say.

Source: requests recorded from the real agents. All of it is the client's own claim.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from sekisho.calls.call import Agent

_SESSION_HEADERS = (
    b"x-claude-code-session-id",
    b"session-id",
    b"x-session-id",
    b"x-session-affinity",
    b"x-litellm-session-id",
    b"x-litellm-trace-id",
)
_USER_AGENTS = (
    ("claude-cli/", "claude-code"),
    ("claude-code/", "claude-code"),
    ("codex_", "codex"),
    ("opencode/", "opencode"),
    ("Kilo-Code/", "kilo"),
    ("Cline/", "cline"),
    ("litellm/", "aider"),
    ("aider/", "aider"),
    ("OpenAI/Python", "openai-sdk"),
    ("OpenAI/JS", "openai-sdk"),
    ("AsyncOpenAI/Python", "openai-sdk"),
    ("Anthropic/Python", "anthropic-sdk"),
    ("AsyncAnthropic/Python", "anthropic-sdk"),
    ("ls/JS", "continue"),
    ("curl/", "curl"),
)
_PROMPTS = (
    (b"You are ", ((b"You are Cline", "cline"), (b"You are Kilo", "kilo"))),
    (b"SEARCH/REPLACE block", ((b"SEARCH/REPLACE block", "aider"),)),
    (
        b"Act as an expert ",
        ((b"Act as an expert architect engineer", "aider"), (b"Act as an expert code analyst", "aider")),
    ),
    (b"one-line Git commit messages", ((b"one-line Git commit messages", "aider"),)),
    (
        b"summarize this partial conversation about programming",
        ((b"*Briefly* summarize this partial conversation about programming", "aider"),),
    ),
    (b"Continue CLI", ((b"Continue CLI", "continue"),)),
)
"""Words that are nearly never there, and, behind those of which some begin with the same, all of them."""
_VERSION = re.compile(r"/(\d[\w.\-]*)")
_CLAUDE_SESSION = re.compile(r"_session_([0-9a-f-]{36})\Z")  # as Claude Code wrote its user id before it was JSON
_NAME = re.compile(r"^[A-Za-z0-9][\w.\-]{0,39}$")
_PROMPT_BYTES = 6000


def identify(headers: Mapping[bytes, bytes]) -> Agent:
    """The agent named by the request's headers; an own `x-sekisho-agent` header wins over the user agent."""
    declared = headers.get(b"x-sekisho-agent") or headers.get(b"x-gw-agent") or b""
    agent = _named(declared, headers.get(b"user-agent", b""))
    for header in _SESSION_HEADERS:
        if header in headers:
            return Agent(agent.name, agent.version, headers[header].decode("latin-1")[:128])
    return agent


@lru_cache(maxsize=512)  # an organisation has few kinds of clients
def _named(declared: bytes, user_agent_header: bytes) -> Agent:
    user_agent = user_agent_header.decode("latin-1")
    text = declared.decode("latin-1")
    name = text if _NAME.match(text) else ""
    if not name:
        name = next((name for prefix, name in _USER_AGENTS if user_agent.startswith(prefix)), "")
    version = _VERSION.search(user_agent)
    return Agent(name, version[1][:24] if version and name and not user_agent.startswith("ai-sdk") else "")


class _Metadata(msgspec.Struct):
    user_id: str = ""
    session_id: str = ""


class _ClaudeUser(msgspec.Struct):
    session_id: str = ""


_metadata = msgspec.json.Decoder(_Metadata)
_claude_user = msgspec.json.Decoder(_ClaudeUser)


def identify_by_body(agent: Agent, body: bytes, fields: Mapping[str, msgspec.Raw]) -> Agent:
    """The agent completed by what its prompt and body fields say; what headers said stays."""
    name, session = agent.name, agent.session
    if not name or name == "openai-sdk":
        ends = body if len(body) <= 2 * _PROMPT_BYTES else body[:_PROMPT_BYTES] + body[-_PROMPT_BYTES:]
        for words, prompts in _PROMPTS:
            if ends.find(words) >= 0:  # `in` asks first whether the words are a number, which takes half the time
                found = next((known for prompt, known in prompts if ends.find(prompt) >= 0), "")
                if found:
                    name = found
                    break
    if not session:
        session = _session_of(fields)
    if (name, session) == (agent.name, agent.session):
        return agent
    return Agent(name=name, version=agent.version, session=session)


def _session_of(fields: Mapping[str, msgspec.Raw]) -> str:
    for key in ("litellm_session_id", "prompt_cache_key"):
        if key in fields:
            try:
                return msgspec.json.decode(fields[key], type=str)[:128]
            except msgspec.DecodeError:
                continue
    if "metadata" not in fields:
        return ""
    try:
        metadata = _metadata.decode(fields["metadata"])
        if metadata.user_id.startswith("{"):
            return _claude_user.decode(metadata.user_id).session_id[:128]
        named = _CLAUDE_SESSION.search(metadata.user_id)
        return named[1] if named else metadata.session_id[:128]
    except msgspec.DecodeError:
        return ""
