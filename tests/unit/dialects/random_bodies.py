"""Random JSON that comes close to real requests: known keys and words, at any depth and of any type."""

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How every property here is tried: a busy machine is no failure."""


def bodies(top_keys: str, keys: str, words: str) -> st.SearchStrategy[bytes]:
    """Bodies whose fields are named by `top_keys`, with nested `keys` and string values from `words` among others."""
    texts = st.one_of(
        st.sampled_from(words.split()), st.text(max_size=6), st.sampled_from(["", "{}", '{"a":1}', "[", "\ud800"])
    )
    scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
    values = st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(keys.split()), inner, max_size=5),
        ),
        max_leaves=25,
    )
    fields = st.fixed_dictionaries({}, optional={key: values for key in top_keys.split()})
    return fields.map(lambda body: json.dumps({"model": "m"} | body).encode())


def spoiled(samples: list[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """Real bodies in which up to three values, anywhere, are replaced by others or left out."""

    @st.composite
    def draw_body(draw: st.DrawFn) -> bytes:
        body = json.loads(json.dumps(draw(st.sampled_from(samples))))
        for _ in range(draw(st.integers(1, 3))):
            places = list(_places(body))
            if not places:
                break
            holder, key = draw(st.sampled_from(places))
            if draw(st.booleans()):
                holder[key] = json.loads(json.dumps(draw(_REPLACEMENTS)))  # a fresh copy, for it may be changed
            else:
                del holder[key]
        return json.dumps(body).encode()

    return draw_body()


_REPLACEMENTS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [[], {}, [[]], [{}], "data:image/png;base64,AA", {"type": "ephemeral", "ttl": "1h"}, ["x"], "auto"]
    ),
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (holder, key) below this value."""
    if isinstance(value, dict):
        keys: list[Any] = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    else:
        return []
    return [place for key in keys for place in [(value, key), *_places(value[key])]]
