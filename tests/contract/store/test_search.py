"""Search in what calls said: nothing is missed and nothing comes twice, however the pages fall."""

import pytest

from sekisho.record import content_store
from tests.contract.store.recordings import Desk

BODY = b'{"model":"m","messages":[{"role":"user","content":"%s"}]}'
ANSWER = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}]}'


@pytest.mark.parametrize("user_id", ["alice", ""], ids=["own calls", "the team's"])
async def test_every_call_with_the_words_is_found_once_newest_first(database, tmp_path, monkeypatch, user_id):
    desk = Desk(tmp_path, database)
    said = [(number % 3 == 0, number % 4 == 0) for number in range(12)]  # in the request, in the answer
    ids = [
        desk.call(
            BODY % (b"a NEEDLE %d" % number if asked else b"hay %d" % number),
            ANSWER % (b"the n\xc3\xa9edle, a needle %d" % number if answered else b"straw %d" % number),
        )
        for number, (asked, answered) in enumerate(said)
    ]
    await desk.keeper.take_once()
    store = desk.keeper.store
    expected = [
        (call_id, "request" if asked else "answer")
        for call_id, (asked, answered) in zip(ids, said, strict=True)
        if asked or answered
    ][::-1]
    vaults = () if user_id else (await store.vaults()).values()
    for at_once in (2, 3, 1_000):
        monkeypatch.setattr(content_store, "_TEXTS_AT_ONCE", at_once)
        for most_texts in (2, 1_000):
            monkeypatch.setattr(content_store, "MOST_TEXTS", most_texts)
            for limit in (1, 3):
                found, before = [], b""
                while True:
                    hits, before = await store.search("Needle", vaults, user_id, before=before, limit=limit)
                    assert len(hits) <= limit
                    found += [(hit.row.call_id, hit.where) for hit in hits]
                    if not before:
                        break
                assert found == expected, (at_once, most_texts, limit)
