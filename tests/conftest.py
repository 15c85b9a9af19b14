"""What every test has: a watch on the keys, and settings that reach nothing by accident."""

import logging

import certifi
import pytest
import trustme
from hypothesis import settings

from lsq_service_async import Config

CANARY = "CANARY-"

# Machines are slow at times; how long an example takes is no property of the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(autouse=True, scope="session")
def one_authority(tmp_path_factory):
    """Every httpx client reads the authorities that it trusts, more than a hundred; in tests there is one."""
    path = tmp_path_factory.mktemp("authorities") / "one.pem"
    trustme.CA().cert_pem.write_to_path(path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(certifi, "where", lambda: str(path))
        yield


@pytest.fixture
def config():
    """Settings of an account that does not exist, with keys that must never be seen again."""
    return Config(
        access_key=f"{CANARY}access-u$r", secret_key=f"{CANARY}secret", org_id="22824", base_url="http://127.0.0.1:9"
    )


@pytest.fixture(autouse=True)
def no_key_is_logged(caplog):
    """No test may end with a key in a log record of anybody, at any level."""
    caplog.set_level(logging.DEBUG)
    yield
    for record in caplog.get_records("call"):
        assert CANARY not in record.getMessage()
        assert CANARY not in repr(vars(record))
