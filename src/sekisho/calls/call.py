"""A call on its way, and the trail it leaves."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from operator import sub
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from sekisho.conversation.chain import NO_CHAIN, Chain
from sekisho.conversation.kept import Owner
from sekisho.conversation.tasks import NO_TASK, Task
from sekisho.dialects.exchange import Request
from sekisho.dialects.translation import Translation
from sekisho.ledger.anchor import Prompt
from sekisho.values import Deployment, Door, Model, Usage, VirtualKey

if TYPE_CHECKING:
    from sekisho.calls.passage import Passage


async def _wait(seconds: float) -> bool:
    await asyncio.sleep(seconds)
    return False


Operation = Literal["generate", "count_tokens"]


class AttemptNote(msgspec.Struct, eq=False):
    """One try at one deployment, filled in as it goes."""

    deployment: Deployment
    started_at: int
    started_us: int
    ended_us: int = 0
    status: int = 0
    error: str = ""
    usage: Usage = Usage()
    is_metered: bool = True
    upstream_request_id: str = ""


class Listener(Protocol):
    """Hears the client's bytes of an answer: how it begins, and the id of its first tool call."""

    @property
    def text(self) -> str: ...

    @property
    def tool(self) -> bytes: ...

    def hear(self, piece: bytes) -> None: ...


class Trail(msgspec.Struct, eq=False):
    """What happened to the call so far. Times are monotonic microseconds.

    `awaited` will turn the answer of a stream into its client's bytes: it can write signs of life before there is one.
    `heard`: for a conversation that its client does not name. `waited_us`: for the body, for room, for others' counts.
    """

    started_us: int
    stage: str = ""
    entered_us: list[int] = []
    attempts: list[AttemptNote] = []
    awaited: Translation | None = None
    is_opened: bool = False
    asked_us: int = 0  # when the counters were asked that admitted it
    first_byte_us: int = 0
    waited_us: int = 0
    heard: Listener | None = None

    def stages_us(self) -> tuple[int, ...]:
        """Time spent in each stage before it passed the call on, in the order of the path."""
        return tuple(map(sub, self.entered_us[1:], self.entered_us))


class Agent(msgspec.Struct, frozen=True):
    """What the client says it is. Good for grouping, never for permission."""

    name: str = ""
    version: str = ""
    session: str = ""


class Call(msgspec.Struct, eq=False):
    """One call. Fields are filled in the order of the path, in place: a changed copy for every stage costs a
    microsecond each. Only what makes another call of it, such as a cheaper model, makes a copy.

    `path_model` is the model named by the URL (Bedrock doors). `body`: empty while it is to be read by `read_body`.
    `fields`: its top-level values, undecoded. `chain`: the blocks of the body as the client sent it, whatever was
    changed in `body` since. `passage`: what is known of the key's calls to the model. `asked_model`: the one that was
    asked for, where a budget has put a cheaper one in its place. `wait`: lets seconds pass, and says whether the client
    left meanwhile. `prompt`, `bound_nanousd`, `attempts`: what was admitted. `ending`: what an answer that was made
    shorter than the client asked says at its end if it gets so long.
    """

    id: bytes
    id_text: str
    door: Door
    operation: Operation
    started_at: int
    headers: Mapping[bytes, bytes]
    read_body: Callable[[], Awaitable[bytes]]
    trail: Trail
    path_model: str = ""
    path_stream: bool = False
    agent: Agent = Agent()
    key: VirtualKey | None = None
    body: bytes = b""
    fields: dict[str, msgspec.Raw] = {}
    chain: Chain = NO_CHAIN
    task: Task = NO_TASK
    request: Request | None = None
    model_name: str = ""
    stream: bool = False
    model: Model | None = None
    passage: "Passage | None" = None
    max_output_tokens: int = 0
    asked_model: str = ""
    wait: Callable[[float], Awaitable[bool]] = _wait
    prompt: Prompt = Prompt(0)
    bound_nanousd: int = 0
    attempts: int = 1
    ending: str = ""
    deployment: Deployment | None = None

    @property
    def known_key(self) -> VirtualKey:
        """The key, for stages behind `authenticate`."""
        assert self.key is not None
        return self.key

    @property
    def owner(self) -> Owner:
        """Whose conversation this is, for stages behind `authenticate`."""
        key = self.known_key
        return Owner(key.team_id, key.id, self.door)

    @property
    def known_model(self) -> Model:
        """The model, for stages behind `resolve`."""
        assert self.model is not None
        return self.model

    @property
    def known_passage(self) -> "Passage":
        """What is known of the key's calls to the model, for stages behind `authorize`."""
        assert self.passage is not None
        return self.passage

    @property
    def chosen_deployment(self) -> Deployment:
        """The deployment, for stages behind `place`."""
        assert self.deployment is not None
        return self.deployment
