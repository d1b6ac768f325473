import logging

import pytest

from kcloud_autoscale.operator.sources import SourceLog

AWAY = "Prometheus does not answer: http://prometheus does not answer: connection refused"
SLOW = "Prometheus does not answer: no answer within 9.98 s to vector(1)"
QUERY = "query: HTTP 400: bad_data: parse error; query: sum( (1 workloads)"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "kcloud_autoscale.operator.sources")
    return caplog


def test_an_outage_is_one_warning_and_one_line_when_it_is_over(logged: pytest.LogCaptureFixture):
    log = SourceLog()
    for problems in [(), (AWAY,), (SLOW,), (AWAY,), (), ()]:
        log.note(problems)
    begun, over = logged.records
    assert (begun.levelname, over.levelname) == ("WARNING", "INFO")
    assert begun.getMessage().endswith(AWAY)
    assert over.getMessage() == "No longer seen: Prometheus does not answer"


def test_a_source_that_fails_beside_another_is_told_too(logged: pytest.LogCaptureFixture):
    log = SourceLog()
    log.note((QUERY,))
    log.note((QUERY, AWAY))
    assert [record.levelname for record in logged.records] == ["WARNING", "WARNING"]
    assert AWAY in logged.records[1].getMessage()
