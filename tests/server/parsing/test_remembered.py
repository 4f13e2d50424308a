"""What is remembered of statements is bounded, and forgotten."""

from __future__ import annotations

import pytest

from policies.sql.facts import SqlEffect, SqlFacts
from server.parsing import remembered
from server.parsing.analyst import DIED, LATE
from server.parsing.remembered import FactsCache, Key, Suspicions

READ = SqlFacts(SqlEffect.READ)


def key(text: str, *, names: int = 1, around: bytes = b"", dialect: str = "postgres") -> Key:
    return dialect, names, around, text


def test_facts_are_known_by_dialect_names_surroundings_and_text() -> None:
    cache = FactsCache()
    cache.put(key("a"), READ, 100)
    assert cache.get(key("a")) is READ
    others = (key("b"), key("a", names=2), key("a", around=b"x"), key("a", dialect="mysql"))
    assert [cache.get(other) for other in others] == [None] * 4


def test_the_cache_holds_so_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "ENTRIES", 3)
    cache = FactsCache()
    for text in "abc":
        cache.put(key(text), READ, 1)
    assert cache.get(key("a")) is READ  # asked for just now: it stays
    cache.put(key("d"), READ, 1)
    assert [cache.get(key(text)) for text in "abcd"] == [READ, None, READ, READ]


def test_the_cache_holds_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "BYTES", 100_000)
    cache = FactsCache()
    for number in range(1_000):
        cache.put(key(f"{number}" + "x" * 10_000), READ, 10)
        cache.put(key(f"{number}" + "x" * 10_000), READ, 10)  # counts once
    kept = [n for n in range(1_000) if cache.get(key(f"{n}" + "x" * 10_000))]
    assert kept == [998, 999]


def test_a_harmful_statement_is_remembered_with_its_answer_and_who_asked() -> None:
    suspicions = Suspicions()
    suspicions.note("postgres", "a", "mallory", LATE)
    suspicions.note("postgres", "b", "mallory", DIED)
    assert suspicions.of_statement("postgres", "a") is LATE
    assert suspicions.of_statement("postgres", "b") is DIED
    assert suspicions.of_statement("mysql", "a") is None
    assert suspicions.of_asker("mallory")
    assert not suspicions.of_asker("alice")


def test_a_suspicion_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    suspicions = Suspicions()
    monkeypatch.setattr(remembered, "SUSPECTED", -1.0)
    suspicions.note("postgres", "a", "mallory", LATE)
    assert suspicions.of_statement("postgres", "a") is None
    assert not suspicions.of_asker("mallory")


def test_who_takes_more_than_a_share_of_the_parsers_is_apart_until_it_is_made_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(remembered, "monotonic", lambda: now)
    suspicions = Suspicions()
    for _ in range(100):
        suspicions.spent("alice", 0.001)
    suspicions.spent("mallory", 0.4)
    assert not suspicions.of_asker("mallory")
    suspicions.spent("mallory", 0.4)
    assert suspicions.of_asker("mallory")
    assert not suspicions.of_asker("alice")
    now += (0.8 - remembered.BURST) / remembered.SHARE + 0.1
    assert not suspicions.of_asker("mallory")


def test_suspicions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "SUSPECTS", 10)
    suspicions = Suspicions()
    for number in range(100):
        suspicions.note("postgres", str(number), str(number), LATE)
    suspected = [n for n in range(100) if suspicions.of_asker(str(n))]
    refused = [n for n in range(100) if suspicions.of_statement("postgres", str(n))]
    assert suspected == refused == list(range(90, 100))
