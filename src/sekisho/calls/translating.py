"""A chat or a body of Responses written for Converse at the cost of what is new: what was written before is taken over.

A history is written in stretches. One may be cut before an answer that stands behind a turn of the user: nothing is
joined across it. What stands before the cut stays as it was written; the rest is written anew with each turn. None
wherever anything is unusual: then the whole is translated, which is also the oracle. Why: docs/why/blocks.md
"""

from typing import Any

import msgspec

from sekisho.calls.call import Call
from sekisho.conversation.chain import Chain
from sekisho.conversation.layout import HISTORY
from sekisho.dialects import openai_chat, openai_responses
from sekisho.dialects.bedrock import converse
from sekisho.dialects.cache_marks import MARK_WORDS
from sekisho.dialects.exchange import CachePoint, Message, Part, Request
from sekisho.dialects.fitting import check_content, fit
from sekisho.dialects.folding import MAX_CACHE_POINTS, cap_cache_points, fold_first, fold_on, without_blank
from sekisho.dialects.openai import Role, Turns
from sekisho.errors import BadRequest
from sekisho.upstream.payload import Begun, Payload
from sekisho.values import Door, Model

_KEY = "converse"
_MOST_PIECES = 32
_decode = msgspec.json.Decoder().decode
Said = tuple[Role, list[Part], str]


class _Written(msgspec.Struct, frozen=True):
    """The first `elements` of a history as they are written for this model.

    `system`: what leads of it. `call_ids`, `documents`: used in it. `pieces`: its JSON, each followed by a comma.
    `tools_raw`, `tools`: the tools as they came and decoded; `leading_raw`: the instructions. `head`, `hashes`: how the
    body began, once it was signed.
    """

    model: Model
    elements: int = 0
    system: tuple[Part, ...] = ()
    call_ids: frozenset[str] = frozenset()
    documents: dict[str, int] = {}
    pieces: tuple[bytes, ...] = ()
    tools_raw: msgspec.Raw | None = None
    tools: Any = None
    leading_raw: msgspec.Raw | None = None
    head: bytes = b""
    hashes: list[Begun] = []


def written_on(call: Call) -> tuple[Request, Payload] | None:
    """The request, of which messages that were written before are left out, and the body for Converse."""
    chain, model = call.chain, call.known_model
    if call.fields is not chain.fields or len(chain.elements) < 2:
        return None
    before = _written_before(chain, model)
    try:
        reader = _READERS[chain.door](_settings(chain, before))
        said = [_said(chain, number, reader) for number in range(before.elements, len(chain.elements))]
        stretch = _Stretch(before, reader, said, _cut(chain, before.elements, said))
        return stretch.write(call)
    except (BadRequest, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # the whole translation says what is wrong


def _written_before(chain: Chain, model: Model) -> _Written:
    before = chain.before.sent.get(_KEY) if chain.before and chain.base else None
    if not isinstance(before, _Written) or chain.base is None or before.elements > chain.base.kept_blocks:
        return _Written(model)
    if chain.door == "openai_responses" and not _says_as_much(chain, before):
        return _Written(model)
    return before if before.model is model or before.model == model else _Written(model)


def _says_as_much(chain: Chain, before: _Written) -> bool:
    """Whether what items mean without saying so is as it was: names of tools, and the system text that leads."""
    return chain.fields.get("tools") is before.tools_raw and chain.fields.get("instructions") is before.leading_raw


def _settings(chain: Chain, before: _Written) -> dict[str, Any]:
    """Every member but the history, decoded."""
    source = {name: None for name in chain.fields}
    for name, value in chain.fields.items():
        if name == "tools" and value is before.tools_raw:
            source[name] = before.tools
        elif name != HISTORY[chain.door]:
            source[name] = _decode(value)
    return source


class _ChatReader:
    """Reads the decoded parts of a chat."""

    def __init__(self, source: dict[str, Any]) -> None:
        self.source = source

    def leading(self) -> list[Part]:
        return []

    def read(self, message: dict[str, Any], number: int) -> Said:
        return openai_chat.read_message(message, f"messages[{number}]")

    def request(self, turns: Turns) -> Request:
        return openai_chat.request_of(self.source, turns)


class _ResponsesReader:
    """Reads the decoded parts of a body of Responses."""

    def __init__(self, source: dict[str, Any]) -> None:
        self.source = source
        self._offered = openai_responses.read_offered(source)

    def leading(self) -> list[Part]:
        return openai_responses.instructions_of(self.source)

    def read(self, item: dict[str, Any], number: int) -> Said:
        return openai_responses.read_item(item, f"input[{number}]", self._offered.toolbox)

    def request(self, turns: Turns) -> Request:
        return openai_responses.request_of(self.source, turns, self._offered)


_Reader = _ChatReader | _ResponsesReader
_READERS: dict[Door, type[_ChatReader] | type[_ResponsesReader]] = {
    "openai_chat": _ChatReader,
    "openai_responses": _ResponsesReader,
}
READ_ON = frozenset(_READERS)
"""The doors whose histories can be written on."""


def _said(chain: Chain, number: int, reader: _Reader) -> Said:
    span = chain.elements[number]
    element = _decode(memoryview(chain.body)[span.start : span.end])
    if not isinstance(element, dict):
        raise BadRequest("A history holds objects only.")
    return reader.read(element, number)


def _cut(chain: Chain, first: int, said: list[Said]) -> int:
    """How many of the new elements stand before the last cut that no cache mark stands before. 0: no cut."""
    cut, role = 0, "user" if first else ""
    for number, (speaker, parts, _) in enumerate(said):
        if speaker == "assistant" and parts and role == "user" and number:
            cut = number
        if any(chain.text.is_within(word, *chain.elements[first + number]) for word in MARK_WORDS):
            break
        role = speaker if parts else role
    return cut


class _Stretch:
    """The new elements: those before the cut stay as they are written now, the others will be written again."""

    def __init__(self, before: _Written, reader: _Reader, said: list[Said], cut: int) -> None:
        self._before = before
        self._reader = reader
        self._cut = cut
        self._kept = Turns(has_begun=before.elements > 0)
        if not before.elements:
            self._kept.add("system", reader.leading())
        self._open = Turns(has_begun=True)
        for number, words in enumerate(said):
            (self._kept if number < cut else self._open).add(*words)

    def write(self, call: Call) -> tuple[Request, Payload] | None:
        quirks, model = call.known_model.quirks, call.known_model
        turns = self._open if self._before.elements else self._kept
        request = msgspec.structs.replace(self._reader.request(turns), stream=call.stream)
        choice = request.tool_choice
        if not request.tools or not quirks.system or (choice and choice.mode == "none"):
            return None  # what is said of tools then depends on the whole history
        written = self._write_kept(request, model)
        if written is None or not written.pieces:
            return None
        seen = set(written.call_ids)
        messages = fold_on(self._open.messages("messages"), quirks, seen, is_last=True)
        if messages is None:
            return None
        folded = msgspec.structs.replace(request, system=without_blank(written.system), messages=messages)
        limit = MAX_CACHE_POINTS if quirks.cache_min_tokens else 0
        capped = cap_cache_points(folded, limit, may_1h=quirks.cache_ttl_1h)
        fitted, _ = fit(capped, quirks, model.max_output_tokens, claude=converse.is_claude(model))
        rest = converse.render_messages(fitted.messages, dict(written.documents))
        head, tail = converse.render_around(fitted, model)
        fields = call.chain.fields
        written = msgspec.structs.replace(
            written,
            tools_raw=fields.get("tools"),
            tools=self._reader.source.get("tools"),
            leading_raw=fields.get("instructions"),
            head=head,
        )
        return request, self._payload(call.chain, written, rest + tail)

    def _write_kept(self, request: Request, model: Model) -> _Written | None:
        """What will stay: what was written before, and what stands before the cut."""
        before = self._before
        if not self._cut:
            return before
        seen, documents = set(before.call_ids), dict(before.documents)
        messages: tuple[Message, ...] | None
        if before.elements:
            system = before.system
            messages = fold_on(self._kept.messages("messages"), model.quirks, seen, is_last=False)
        else:
            first = fold_first(request.system, self._kept.messages("messages"), model.quirks, seen)
            system, messages = first if first else ((), None)
        if messages is None or any(isinstance(part, CachePoint) for message in messages for part in message.parts):
            return None
        check_content(msgspec.structs.replace(request, messages=messages), model.quirks)
        piece = converse.render_messages(messages, documents) + b","
        pieces = (*before.pieces, piece)
        if len(pieces) > _MOST_PIECES:
            pieces = (b"".join(pieces),)
        return _Written(
            model, before.elements + self._cut, system, frozenset(seen), documents, pieces, head=before.head
        )

    def _payload(self, chain: Chain, written: _Written, rest: bytes) -> Payload:
        """The body in pieces; its hash goes on from that of the turn before, where it began alike."""
        kept_bytes = len(written.head) + sum(map(len, written.pieces))
        before = self._before
        begun = before.hashes[-1] if before.hashes and before.head == written.head else None
        payload = Payload((written.head, *written.pieces, rest), begun, (kept_bytes,))
        chain.notes.sent[_KEY] = msgspec.structs.replace(written, hashes=payload.kept)
        return payload
