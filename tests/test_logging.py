"""The logger that all modules of the package use."""

import logging

import pytest

from lsq_service_async._logging import logger


class Broken(logging.Handler):
    """A handler of an application that fails."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ZeroDivisionError


def test_the_logger_ignores_a_handler_that_raises(package_log: logging.Logger) -> None:
    """The exception of a handler does not reach the code that logs. At a disabled level, no filter is called."""
    package_log.addHandler(Broken())
    logger.warning("said %s", "once")
    package_log.setLevel(logging.ERROR)
    package_log.addFilter(lambda record: pytest.fail("a disabled level is not filtered"))
    logger.warning("said %s", "never")
    package_log.filters.clear()


def test_a_record_names_the_function_that_logs(package_log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    """The record has the caller's function and file, and the attributes that it adds."""
    logger.log(logging.INFO, "said %s", "this", extra={"reference": "r1"})
    logger.error("again")
    assert {(record.funcName, record.filename) for record in caplog.records} == {
        ("test_a_record_names_the_function_that_logs", "test_logging.py")
    }
    assert vars(caplog.records[0])["reference"] == "r1"
