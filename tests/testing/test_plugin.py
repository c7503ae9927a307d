"""The plugin in a test suite of its own, as a user writes it."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

APP = """
from datetime import timedelta
from leveret.tasks import WorkQueue

work = WorkQueue()
sent = []

@work.task
def welcome(who: str) -> None:
    sent.append(f"welcome {who}")

@work.task
def sign_up(who: str) -> None:
    welcome.options(delay=timedelta(days=3)).send(who)
"""

TESTS = """
from datetime import timedelta
import app

def test_three_days_later(work_queue):
    app.sign_up.send("ann")
    work_queue.drain()
    work_queue.assert_enqueued(app.welcome, "ann")
    assert app.sent == []
    work_queue.drain(until=timedelta(days=3))
    assert app.sent == ["welcome ann"]

def test_fresh(work_queue):
    assert work_queue.enqueued() == []
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """In a process of its own: the plugin comes by its entry point, or by name where it is not installed."""
    for name in ("LEVERET_TEST_URL", "LEVERET_URL"):
        monkeypatch.delenv(name, raising=False)
    pytester.makepyfile(app=APP, test_app=TESTS)
    pytester.makeini("[pytest]\nleveret_app = app:work\npythonpath = .\n")
    return pytester


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    installed = any(point.name == "leveret" for point in entry_points(group="pytest11"))
    plugin = () if installed else ("-p", "leveret.testing.plugin")
    return suite.runpytest_subprocess(*plugin, "-p", "no:cacheprovider", *arguments)


def test_a_suite_needs_a_line_in_its_configuration(suite: pytest.Pytester) -> None:
    run(suite, "-v").assert_outcomes(passed=2)


def test_or_a_fixture_of_its_own(suite: pytest.Pytester) -> None:
    suite.makeini("[pytest]\npythonpath = .\n")
    suite.makeconftest("import app, pytest\n\n@pytest.fixture\ndef leveret_app():\n    return app.work\n")
    run(suite).assert_outcomes(passed=2)


def test_without_either_it_says_what_to_do(suite: pytest.Pytester) -> None:
    suite.makeini("[pytest]\npythonpath = .\n")
    result = run(suite)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*which WorkQueue? Say `leveret_app = package.module:name`*"])


def test_a_missing_task_is_shown_as_a_failure_with_what_is_there(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_app="""
        import app

        def test_wrong(work_queue):
            app.welcome.send("bob")
            work_queue.assert_enqueued(app.welcome, "ann")

        def test_never_killed(work_queue):
            work_queue.kill_during(app.welcome)
        """
    )
    result = run(suite)
    result.assert_outcomes(passed=1, failed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*no message calls welcome('ann'). There are:", "*welcome('bob') (queue 'default')", "*kill_during(welcome)*"]
    )


def test_what_needs_another_clock_is_skipped_on_a_broker_of_its_own(
    suite: pytest.Pytester, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVERET_TEST_URL", broker_url)
    result = run(suite, "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*LEVERET_TEST_URL has no virtual clock, and nobody waits 259200 s*"])


@pytest.fixture
def broker_url(broker: object) -> str:
    return broker.url  # type: ignore[attr-defined,no-any-return]


def test_the_plugin_loads_nothing_that_is_not_used(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_app="""
        import sys

        def test_light():
            assert not [name for name in sys.modules if name.startswith("leveret.") and "testing" not in name]
        """
    )
    run(suite).assert_outcomes(passed=1)
