from __future__ import annotations

from masking.fast.memory import Memory
from masking.spans import Span


def test_what_was_found_is_remembered_by_column_and_text() -> None:
    memory = Memory(1 << 20)
    memory.put("phone", "a", [Span(0, 1, "X")])
    assert memory.get("phone", "a") == [Span(0, 1, "X")]
    assert memory.get("", "a") is None


def test_the_least_recently_used_goes_first_and_the_bound_holds() -> None:
    memory = Memory(8_000)
    for number in range(100):
        memory.put("", f"text {number}", [])
        memory.get("", "text 0")
        assert memory.used <= 8_000
    assert memory.get("", "text 0") == []
    assert memory.get("", "text 1") is None
    assert memory.get("", "text 99") == []


def test_a_text_beyond_its_share_is_not_kept() -> None:
    memory = Memory(8_000)
    memory.put("", "x" * 1_000, [])
    assert (memory.get("", "x" * 1_000), memory.used) == (None, 0)
