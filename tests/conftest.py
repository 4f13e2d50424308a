"""Fixtures for every test; those by subject live in `tests/fixtures`."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["tests.fixtures.postgres", "tests.fixtures.corpus", "tests.fixtures.mariadb"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything must run, a test that was skipped fails the run (`OSTIARY_NO_SKIPS=1`)."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("OSTIARY_NO_SKIPS") != "1" or reporter is None:
        return
    skipped = [report.nodeid for report in reporter.stats.get("skipped", [])]
    if skipped and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"skipped, but nothing may be: {', '.join(skipped)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
