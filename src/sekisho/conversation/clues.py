"""What the text of a prompt says about the call: what kind of turn it is, in which mode, in which repository.

Above: the assigner. Below: the bytes of single blocks. Only the words of a few blocks are read, each once: a clue is
kept by the fingerprint of its block. Source: requests recorded from the real agents, and their published prompts.
"""

import re
from typing import Literal

import msgspec
import xxhash

from sekisho.conversation.claims import last_part

Mode = Literal["plan", "act", ""]
SystemKind = Literal["main", "title", "compaction", "side", ""]
MessageKind = Literal["human", "agent", "compaction", "summary"]

_HEAD_BYTES = 4_096
_TAIL_BYTES = 6_144
_MOST_MESSAGE_BYTES = 262_144

_BILLING = b"x-anthropic-billing-header"
_SUB_AGENT = b"cc_is_subagent=true"
_MAIN = re.compile(
    rb"You are (?:Cline|Claude Code|a Claude agent|Kilo|OpenCode|opencode|Codex|Continue|Gemini CLI|a coding agent"
    rb" running in the Codex)|in the Continue CLI|Act as an expert (?:software developer|architect|code analyst)"
    rb"|SEARCH/REPLACE block"
)
_TITLE = re.compile(
    rb"title generator|(?:sentence-case|short|brief|concise)[^.\n\"]{0,40}title|thread title|conversation title"
    rb"|(?:generate|write|create) an? [^.\n\"]{0,40}title",
    re.IGNORECASE,
)
_COMPACTION = re.compile(rb"tasked with summari[sz]ing|summari[sz]e this (?:partial )?conversation", re.IGNORECASE)
_SIDE = re.compile(
    rb"generates? concise, one-line Git commit messages|generate (?:a |an )?(?:git )?commit message", re.IGNORECASE
)
_PLAN = re.compile(
    rb"You are in Plan mode|# Plan Mode|Plan mode (?:is active|ACTIVE)|PLAN MODE|You are in plan mode"
    rb"|Act as an expert (?:architect engineer|code analyst)|<mode>\s*plan"
)
_ACT = re.compile(
    rb"switched from plan mode to act mode|ACT MODE|changed from plan to build|exited plan mode|Exited plan mode"
    rb"|You are in agent mode|SEARCH/REPLACE block|Act as an expert software developer"
)
_DIRECTORY = re.compile(
    rb"(?:<cwd>|(?:[Cc]urrent )?[Ww]orking [Dd]irectory(?:\s*:\s*|\s*\()|Workspace root folder:\s*|"
    rb"Current workspace: |# Workspace: )([^\s<>\"()\\]{1,300})"
)
_BRANCH = re.compile(rb"(?:[Cc]urrent branch|Git branch|git branch|On branch):?\s+([\w./-]{1,100})")

# What agents put around the words of a person, or in place of them.
_AROUND = (
    *("system-reminder", "environment_details", "environment_context", "session_context", "permissions instructions"),
    *("skills_instructions", "user_instructions", "mode_notice", "context", "attached_files", "workspace_info"),
)
_OPENING = re.compile(rf"<({'|'.join(_AROUND)})\b")
_CLOSING = {name: re.compile(rf"</{name}\s*>") for name in _AROUND}
_AIDER_RULES = re.compile(r"\n[^\S\n]*# \*SEARCH/REPLACE block\* Rules:")
_ENVELOPE = re.compile(r"</?(?:task|user_message|feedback|answer|user_input|session)\b[^>]*>")
_NOT_HUMAN = re.compile(
    r"\[[\w_]+(?: for '[^']*')?\] Result:|\[ERROR\] You did not use a tool|# Fix any errors below|"
    r"(?:The |\d+ )SEARCH/REPLACE blocks? failed to match|I ran this command:|\[TASK RESUMPTION\]"
)
_ASKS_SUMMARY = re.compile(
    r"create a detailed summary of (?:the|our|this) conversation|CONTEXT CHECKPOINT COMPACTION|"
    r"summarize_task|[Ss]ummari[sz]e (?:the|our|this) conversation|"
    r"[Pp]rovide a (?:detailed |brief )?(?:summary of our conversation|prompt for continuing our conversation)|"
    r"The current conversation is rapidly running out of context"
)
_IS_SUMMARY = re.compile(
    r"\s*(?:This session is being continued from a previous conversation|"
    r"I spoke to you previously about a number of things|"
    r"Another language model started to solve this problem|"
    r"\[?(?:Context|Conversation)(?: history)? summary|# Conversation summary|"
    r"<(?:summary|context_summary|conversation_summary)>|What did we do so far\?|"
    r"The following is a summary of (?:the|our) (?:previous )?conversation)",
    re.IGNORECASE,
)
_AIDER_SCAFFOLD = re.compile(
    r"I switched to a new code base\.|Here are summaries of some files present|"
    r"I have \*added these files to the chat\*|Here are some READ ONLY files|"
    r"I am not sharing any files that you can edit|I am not sharing the full contents|"
    r"Ok\.?\Z|Ok, any changes I propose|Ok, I won't try and edit those|Ok, I will use these files|"
    r"Ok, based on your requests"
)
_AIDER_EXAMPLES_END = "I switched to a new code base."

# In a message of tool results only the agent's own words count, not those of a file that was read.
_TOOL_PLAN = re.compile(rb"Plan mode is active|Current Mode\\n(?:\*\*)?PLAN MODE|Current Mode: PLAN")
_TOOL_ACT = re.compile(
    rb"User has approved your plan|Exited plan mode|Current Mode\\n(?:\*\*)?ACT MODE|Current Mode: ACT"
)
_TOOL_RESULT = re.compile(
    rb'"tool_result"|"toolResult"|"function_call_output"|"tool_call_id"|"custom_tool_call_output"'
)
_FAILED = re.compile(
    rb'"is_error"\s*:\s*true|"status"\s*:\s*"error"|\\?"success\\?"\s*:\s*false|exited with code [1-9]|'
    rb'[Ee]xit code:? [1-9]|"(?:content|output|text)"\s*:\s*"(?:\[?Error|error|ERROR|Traceback|<error|<tool_use_error)|'
    rb"old_string not found|[Cc]ommand failed|[Nn]o such file or directory|The tool execution failed"
)
_MAY_FAIL = (b"rror", b"xit", b"true", b"alse", b"not found", b"ailed", b"Traceback", b"No such", b"no such")
_VOLATILE = re.compile(rb"[0-9a-f]{6,}|\d+")


class SystemClue(msgspec.Struct, frozen=True):
    """What the system text says. `is_sub_agent`: the client says there that it is one. `has_known_prompt`: it is the
    main prompt of an agent that is known."""

    kind: SystemKind = ""
    mode: Mode = ""
    repository: str = ""
    branch: str = ""
    is_sub_agent: bool = False


class MessageClue(msgspec.Struct, frozen=True):
    """What a message of the user's side says. `words`: a hash of what the person wrote, 0 where nobody wrote."""

    kind: MessageKind = "agent"
    words: int = 0
    mode: Mode = ""
    repository: str = ""
    branch: str = ""


class _Message(msgspec.Struct):
    content: str | list[dict[str, msgspec.Raw]] | None = None
    role: str = ""
    output: msgspec.Raw = msgspec.Raw()


_message = msgspec.json.Decoder(_Message).decode
_text = msgspec.json.Decoder(str).decode


def system_key(body: bytes, start: int, end: int, fingerprint: int) -> int:
    """What a system text is known by: its fingerprint, or one without the accounting that Claude Code changes with
    every call."""
    at = body.find(_BILLING, start, start + 200)
    if at < 0:
        return fingerprint
    line_end = body.find(b'"}', at, at + 400)
    is_sub_agent = body.find(_SUB_AGENT, at, at + 400) >= 0
    return xxhash.xxh3_64_intdigest(body[max(line_end, at) : end]) ^ is_sub_agent


def read_system(text: bytes, *, has_tools: bool) -> SystemClue:
    """The clue of one system text, from its two ends."""
    if len(text) > _HEAD_BYTES + _TAIL_BYTES:
        text = text[:_HEAD_BYTES] + b"\n" + text[-_TAIL_BYTES:]
    return SystemClue(
        kind=_system_kind(text, has_tools),
        mode=read_mode(text),
        repository=_repository(text),
        branch=_branch(text),
        is_sub_agent=_SUB_AGENT in text[:600],
    )


def _system_kind(text: bytes, has_tools: bool) -> SystemKind:
    head = text[:2_500]
    if not has_tools:
        if _TITLE.search(head):
            return "title"
        if _COMPACTION.search(head):
            return "compaction"
        if _SIDE.search(head):
            return "side"
    return "main" if _MAIN.search(head) or _MAIN.search(text) else ""


def read_message(text: bytes, role: str) -> MessageClue:
    """The clue of a message that is not the model's own."""
    if role == "tool" or len(text) > _MOST_MESSAGE_BYTES or _TOOL_RESULT.search(text, 0, 600):
        end = text[-2_048:]
        return MessageClue(mode="plan" if _TOOL_PLAN.search(end) else "act" if _TOOL_ACT.search(end) else "")
    texts = message_texts(text)
    if not texts:
        return MessageClue()
    said = human_words("\n".join(texts))
    wire = b"\n".join(one.encode("utf-8", "surrogatepass") for one in texts)
    mode, repository, branch = read_mode(wire), _repository(wire), _branch(wire)
    if ("umm" in said or "CHECKPOINT" in said or "conver" in said) and _ASKS_SUMMARY.search(said[:20_000]):
        return MessageClue("compaction", 0, mode, repository, branch)
    if _IS_SUMMARY.match(said):
        return MessageClue("summary", text_hash(said), mode, repository, branch)
    if not said or _NOT_HUMAN.match(said):
        return MessageClue("agent", 0, mode, repository, branch)
    return MessageClue("human", text_hash(said), mode, repository, branch)


def human_words(text: str) -> str:
    """What the person wrote, without what the agent put around it. Linear in the text, also for hostile text."""
    if "<" in text:
        text = _unwrapped(text)
        end = text.rfind(">") + 1  # behind it no tag ends, and each that begins would be followed to the end
        text = _ENVELOPE.sub("", text[:end]) + text[end:]
    if "SEARCH/REPLACE" in text and (rules := _AIDER_RULES.search(text)) is not None:
        text = text[: rules.start()]
    return text.strip().strip('"')


def _unwrapped(text: str) -> str:
    """The text without `<context ...> ... </context>` and the like: the shortest from each opening on."""
    parts: list[str] = []
    at, tag_end = 0, -1
    unclosed: set[str] = set()  # names of which no closing tag follows
    for found in _OPENING.finditer(text):
        name = found[1]
        if found.start() < at or name in unclosed:
            continue
        if tag_end < found.end():
            tag_end = text.find(">", found.end())
            if tag_end < 0:
                break
        closing = _CLOSING[name].search(text, tag_end + 1)
        if closing is None:
            unclosed.add(name)
            continue
        parts.append(text[at : found.start()])
        at = closing.end()
    return "".join((*parts, text[at:]))


def message_texts(text: bytes) -> list[str]:
    """The texts in a message of any door, in order; none where it cannot be read."""
    try:
        content = _message(text).content
    except (msgspec.DecodeError, RecursionError):
        return []
    if isinstance(content, str):
        return [content]
    found = []
    for part in content or ():
        if "text" in part and "tool_use_id" not in part:
            try:
                found.append(_text(part["text"]))
            except msgspec.DecodeError:
                continue
    return found


def read_mode(text: bytes) -> Mode:
    """The mode that the last words about it say."""
    if b"lan" not in text and b"LAN" not in text and b"ACT MODE" not in text and b"ct as" not in text:
        return "act" if b"SEARCH/REPLACE block" in text else ""
    plan = _last(_PLAN, text)
    act = _last(_ACT, text)
    if plan < 0 and act < 0:
        return ""
    return "plan" if plan > act else "act"


def is_aider_scaffold(text: str) -> bool:
    """Whether the message is one that aider writes anew for every call: files, repository map, the answers to them."""
    return _AIDER_SCAFFOLD.match(text) is not None


def ends_aider_examples(text: str) -> bool:
    """Whether the conversation itself begins behind this message: before it are aider's examples."""
    return text.startswith(_AIDER_EXAMPLES_END)


def failure_of(calls: bytes, results: bytes) -> int:
    """What a failed tool call is known by when it is made again: the call and its result, without numbers that change.

    0 where it did not fail."""
    ends = results if len(results) <= 3_072 else results[:2_048] + results[-1_024:]
    if not any(word in ends for word in _MAY_FAIL):
        return 0
    if not _FAILED.search(ends):
        return 0
    return xxhash.xxh3_64_intdigest(_arguments(calls) + b"\0" + _VOLATILE.sub(b"#", ends)) or 1


_IDS = re.compile(
    rb'"(?:id|tool_call_id|tool_use_id|toolUseId|call_id)"\s*:\s*"[^"\\]*"|"cache_control"\s*:\s*\{[^{}]*\}'
)


def _arguments(calls: bytes) -> bytes:
    return _IDS.sub(b"", calls)


def _last(pattern: re.Pattern[bytes], text: bytes) -> int:
    at = -1
    for found in pattern.finditer(text):
        at = found.start()
    return at


def _found(pattern: re.Pattern[bytes], text: bytes) -> str:
    found = pattern.search(text)
    return found[1].decode("utf-8", "replace") if found else ""


def _branch(text: bytes) -> str:
    return _found(_BRANCH, text) if b"ranch" in text else ""


def _repository(text: bytes) -> str:
    if not (b"irectory" in text or b"cwd>" in text or b"orkspace" in text):
        return ""
    return last_part(_found(_DIRECTORY, text))


def text_hash(text: str) -> int:
    """What a text is known by; never 0."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) or 1
