"""Settings of the whole test run.

JAX runs on the CPU (unless JAX_PLATFORMS says otherwise) and promotes neither dtypes nor ranks.
Property tests take the same modest examples in every run; `--hypothesis-profile=long` takes more,
other ones each time. With AWM_REQUIRE_SHARED=1 a test that is skipped because the folder of the
golden vectors or the replays is absent fails; with AWM_REQUIRE_ALL=1 every one that is skipped.
"""

from __future__ import annotations

import os
import re

import hypothesis
import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
pytest.register_assert_rewrite("support")

_SLOW_TO_DRAW = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large]
hypothesis.settings.register_profile(
    "awm",
    derandomize=True,
    deadline=None,
    max_examples=50,
    suppress_health_check=_SLOW_TO_DRAW,
)
hypothesis.settings.register_profile(
    "long",
    deadline=None,
    max_examples=1000,
    database=None,
    print_blob=True,
    suppress_health_check=_SLOW_TO_DRAW,
)
hypothesis.settings.load_profile("awm")

_SHARED_ABSENT = re.compile(r"absent \(set \$AWM_\w+\)")


def _shared_required() -> bool:
    return os.environ.get("AWM_REQUIRE_SHARED") == "1"


def pytest_configure(config: pytest.Config) -> None:
    import jax

    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    if _shared_required():
        from support.golden import golden_dir, replays_dir

        for folder in (golden_dir, replays_dir):
            try:
                folder()
            except pytest.skip.Exception as absent:
                raise pytest.UsageError(f"AWM_REQUIRE_SHARED is set, but {absent}") from None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None):
    if item.get_closest_marker("standard_promotion") is None:
        return (yield)
    import jax

    with jax.numpy_dtype_promotion("standard"):
        return (yield)


def _required(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turns the report of a skip that is not allowed into a failure."""
    if report.skipped and os.environ.get("AWM_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"AWM_REQUIRE_ALL is set, but skipped: {report.longrepr}"
    if report.skipped and _shared_required() and _SHARED_ABSENT.search(str(report.longrepr)):
        report.outcome = "failed"
        report.longrepr = f"AWM_REQUIRE_SHARED is set, but skipped: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    _required(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    _required(report)
    return report
