"""Where the values of Secrets stand, in manifests that nobody parses."""

from __future__ import annotations

import pytest

from masking.recognizers.manifests import secret_values


def values(text: str) -> list[str]:
    return [text[start:end] for start, end in secret_values(text)]


@pytest.mark.parametrize(
    "text",
    [
        "kind: Secret\ndata:\n  user: YWRtaW4=\n",
        "kind: Secret\ndata:\n  user: YWRtaW4=\t\n",
        "kind: Secret\r\ndata: # old\r\n  user: YWRtaW4=  \r\n",
        "\"kind\": Secret\n'data':\n  user: YWRtaW4=\n",
        'kind: Secret\n"stringData":\n  user: YWRtaW4=\n',
    ],
)
def test_a_value_is_found_however_its_block_begins_and_its_line_ends(text: str) -> None:
    assert values(text) == ["YWRtaW4="]


def test_long_runs_of_blanks_and_backslashes_do_not_hold_the_search_up() -> None:
    blank = "x" + " " * 500_000 + "y"
    assert values(f"kind: Secret\ndata:\n  user: {blank}\n") == [blank]
    assert values("kind: Secret\n" + "\\" * 500_000) == []
    assert values("kind: Secret\ndata: " + "!" * 500_000 + " x\n") == []
    assert values("kind: Secret\n" + " " * 500_000 + "x\na: *b\ndata: *b\n") == []
