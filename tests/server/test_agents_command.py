"""`--until` of `ostiary agents block`: a span from now, or a moment with its offset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from policies.errors import ConfigError
from server.commands.agents import moment

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW + timedelta(seconds=90)),
        ("30m", NOW + timedelta(minutes=30)),
        ("2h", NOW + timedelta(hours=2)),
        ("7d", NOW + timedelta(days=7)),
        ("2026-03-02T01:00+02:00", datetime(2026, 3, 1, 23, 0, tzinfo=UTC)),
        ("2026-03-02T01:00Z", datetime(2026, 3, 2, 1, 0, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_span_from_now_or_a_time_with_its_offset(
    text: str, expected: datetime
) -> None:
    assert moment(text, now=NOW) == expected


@pytest.mark.parametrize("text", ["", "2", "h", "0h", "-2h", "2h30m", "2026-03-02", "tomorrow"])
def test_anything_else_is_no_moment(text: str) -> None:
    with pytest.raises(ConfigError, match="no moment"):
        moment(text, now=NOW)
