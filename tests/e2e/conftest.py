"""Every test here sees its daemons judged, and their logs when it fails."""

import pytest

import netlab


def pytest_configure(config):
    netlab.end_on_signals()


@pytest.fixture(scope="session")
def _lab_possible():
    why = netlab.why_not()
    if why:
        pytest.skip(why)


def labs(request):
    made = []

    def make(name=None):
        made.append(netlab.Lab(name or request.node.name))
        return made[-1]

    yield make
    try:
        for lab in made:
            lab.stop()
    finally:
        for lab in made:
            lab.close()


@pytest.fixture(scope="module")
def make_lab(_lab_possible, request):
    """Labs that last as long as their module; they must end cleanly."""
    yield from labs(request)


@pytest.fixture
def make_short_lab(_lab_possible, request):
    """Labs that last as long as their test; they must end cleanly."""
    yield from labs(request)


@pytest.fixture(autouse=True)
def _daemons_live():
    """A daemon that dies or that a sanitizer complains of fails the test."""
    yield
    for lab in netlab.labs:
        lab.check()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for lab in netlab.labs:
        for node in lab.daemons():
            report.sections.append((f"log of {lab.name}/{node.name}", node.tail()))
