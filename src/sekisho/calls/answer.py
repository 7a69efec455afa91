"""An upstream answer under way to its client: read, translated, settled before its end is released.

The reader is not tied to the client: whoever drives `next` may go on after the client has left, so that the usage at
the end of the stream is still booked. Why there is no separate reader task: docs/why/drain.md
"""

import logging

from sekisho.calls.call import AttemptNote, Trail
from sekisho.calls.gate import Limits, Outcome, Settle
from sekisho.calls.recording import Recording
from sekisho.clock import Clock
from sekisho.dialects.translation import Translation
from sekisho.errors import Internal, SekishoError, StoreUnavailable, UpstreamTimeout, UpstreamUnavailable
from sekisho.upstream.http1 import Http1Response
from sekisho.values import Usage

log = logging.getLogger(__name__)
_CLOSING_BYTES = 65_536  # more than any provider says behind the end of an answer


class Answer:
    """One answer. `next` gives client bytes until `has_ended`; the last of them are out only after settlement.

    `ends_by_us`: when the whole call must be over, on the monotonic clock."""

    def __init__(
        self,
        response: Http1Response,
        translation: Translation,
        attempt: AttemptNote,
        trail: Trail,
        clock: Clock,
        *,
        is_stream: bool,
        limits: Limits,
    ) -> None:
        self._response = response
        self._translation = translation
        self._attempt = attempt
        self._trail = trail
        self._clock = clock
        self._limits = limits
        self._first = b""
        self._settle: Settle | None = None
        self._recording: Recording | None = None
        self._is_cut_short = False
        self.is_stream = is_stream
        self.has_ended = False
        self.client_left = False
        self.cost_nanousd: int | None = None

    @property
    def media_type(self) -> bytes:
        return self._translation.media_type

    def settle_with(self, settle: Settle) -> None:
        """Say who books the cost. Called once, by the stage that opened the call."""
        self._settle = settle

    def record_with(self, recording: Recording) -> None:
        """Say who keeps the answer's bytes."""
        self._recording = recording

    async def begin(self) -> None:
        """Wait until the upstream has said something of its own, so that a failure before it can still be retried.

        Raises what the stream's first event says, or UpstreamUnavailable, UpstreamTimeout.
        """
        parts = []
        while not (self._translation.has_started or self._translation.is_complete):
            try:
                data = await self._response.next(self._time_left_s(self._limits.first_byte_timeout_s))
                if not data:
                    raise UpstreamUnavailable("The model provider ended its answer before it began.")
            except UpstreamUnavailable as error:  # it had taken the call on, and did not say that it failed
                error.may_be_billed = True
                raise
            parts.append(self._translation.feed(data))
            if self._translation.failed and not self._translation.has_started:
                raise self._translation.failed
        self._first = b"".join(parts)

    async def next(self) -> bytes:
        """The next bytes for the client. With `has_ended` set they are the last. Raises nothing of the tree: whatever
        fails is booked, and told to the client in the stream."""
        try:
            out = await self._read_on()
        except SekishoError as error:
            out = await self._fail(error)
        except Exception:  # the edge of a stream under way: a fault of ours must not leave the call open
            log.exception("an answer could not be translated")
            out = await self._fail(Internal())
        else:
            if self._trail.heard is not None:
                self._trail.heard.hear(out)
            if self._translation.is_complete or self._is_cut_short:
                out += await self._finish()
        return out if self._recording is None else self._recorded(out)

    async def _finish(self) -> bytes:
        """The end of a whole answer, once it is booked."""
        try:
            cost = await self._book(Outcome(self._translation, client_left=self.client_left))
        except StoreUnavailable as error:  # not booked: the client must not see a good end
            return self._translation.failure(error)
        return self._translation.finish(cost)

    def _recorded(self, out: bytes) -> bytes:
        assert self._recording is not None
        self._recording.add(out)
        if self.has_ended:
            self._recording.end()
        return out

    async def _read_on(self) -> bytes:
        """Some bytes, or none when the answer is whole."""
        out, self._first = self._first, b""
        translation, response = self._translation, self._response
        while not (out or translation.is_complete):
            try:
                if failed := translation.failed:
                    raise failed
                data = await response.next(self._time_left_s(self._limits.idle_timeout_s))
                if not data:
                    raise UpstreamUnavailable("The model provider broke off its answer.")
                out = translation.feed(data)
            except UpstreamUnavailable as error:
                if translation.stop_reason is None:
                    raise
                # whole for the client, though its usage never came: booked at the bound
                self._attempt.error = error.code
                self._is_cut_short = True
                break
        return out

    def _time_left_s(self, most_s: float) -> float:
        """How long to wait for the upstream: `most_s`, or less when the call's own time is nearly over."""
        spent_s = (self._clock.monotonic_us() - self._trail.started_us) / 1_000_000
        left_s = self._limits.call_timeout_s - spent_s
        if left_s <= 0:
            raise UpstreamTimeout("The answer was not complete in the time that a call may take.")
        return min(most_s, left_s)

    async def cut(self, error: SekishoError) -> bytes:
        """End an answer under way for this reason: the last bytes for the client. Booked as interrupted."""
        out = self._translation.failure(error) if self.has_ended else await self._fail(error, is_abandoned=True)
        return out if self._recording is None else self._recorded(out)

    async def _fail(self, error: SekishoError, *, is_abandoned: bool = False) -> bytes:
        self._response.close()
        self._attempt.error = error.code
        outcome = Outcome(
            self._translation, error.code, error.message, client_left=self.client_left, is_abandoned=is_abandoned
        )
        try:
            await self._book(outcome)
        except StoreUnavailable as failure:  # it will be booked late; the client is told of what came first
            log.error("a failed call could not be booked yet: %s", failure)
        return self._translation.failure(error)

    async def read(self) -> None:
        """Take in a whole, non-streamed answer. Raises UpstreamUnavailable, UpstreamTimeout, UpstreamRejected."""
        limits = self._limits
        body = await self._response.read(limits.max_reply_bytes, self._time_left_s(limits.first_byte_timeout_s))
        self._translation.read(body, self._response.headers)
        if self._trail.heard is not None:
            self._trail.heard.hear(body)
        self._response.close()

    async def whole(self) -> bytes:
        """The complete body for the client, after settlement. Raises StoreUnavailable when that is not durable."""
        cost = await self._book(Outcome(self._translation, client_left=self.client_left))
        body = self._translation.body(cost)
        return body if self._recording is None else self._recorded(body)

    async def abandon(self, error: str, message: str) -> None:
        """Stop reading, for the reason given, and book what was not booked yet as interrupted."""
        self._response.close()
        if self._recording is not None:
            self._recording.end()
        if self.has_ended:
            return
        outcome = Outcome(self._translation, error, message, client_left=self.client_left, is_abandoned=True)
        try:
            await self._book(outcome)
        except StoreUnavailable as failure:
            log.error("an abandoned call could not be booked yet: %s", failure)

    async def release(self, timeout_s: float) -> None:
        """Let go of the upstream connection; read its closing bytes, so that it can serve again."""
        try:
            await self._response.read(_CLOSING_BYTES, timeout_s)
        except SekishoError as error:
            log.debug("upstream connection not reusable: %s", error.code)
        self._response.close()

    async def _book(self, outcome: Outcome) -> int:
        assert self._settle is not None
        self.has_ended = True
        usage = self._translation.usage
        self._attempt.usage = usage or Usage()
        self._attempt.is_metered = usage is not None and not outcome.error
        self._attempt.ended_us = self._clock.monotonic_us()
        cost, booked = self._settle(outcome)
        if booked is not None:
            await booked
        self.cost_nanousd = cost
        return cost
