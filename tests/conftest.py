"""Fixtures of every test: no key is logged, and the default settings reach no server."""

import logging
import sys

import certifi
import pytest
import trustme
from hypothesis import settings

from lsq_service_async import Config

CANARY = "CANARY-"

# A slow machine must not fail a test, so hypothesis has no deadline per example.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(autouse=True, scope="session")
def one_authority(tmp_path_factory):
    """Trust one certificate authority instead of more than a hundred, which every httpx client would read."""
    path = tmp_path_factory.mktemp("authorities") / "one.pem"
    trustme.CA().cert_pem.write_to_path(path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(certifi, "where", lambda: str(path))
        patched.delenv("SSL_CERT_FILE", raising=False)
        yield


@pytest.fixture
def config():
    """Settings of an account that does not exist, with keys that must not appear anywhere else."""
    return Config(
        access_key=f"{CANARY}access-u$r", secret_key=f"{CANARY}secret", org_id="22824", base_url="http://127.0.0.1:9"
    )


@pytest.fixture
def package_log():
    """The logger of the package. The handler and the level that LSQ_LOG sets are removed at the end."""
    logger = logging.getLogger("lsq_service_async")
    yield logger
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def no_key_is_logged(caplog):
    """Fail a test if any logger has a key in a record, at any level."""
    caplog.set_level(logging.DEBUG)
    yield
    for record in caplog.get_records("call"):
        assert CANARY not in record.getMessage()
        assert CANARY not in repr(vars(record))


@pytest.fixture
def forget_modules(monkeypatch):
    """A function that lets modules be imported again. Afterwards there are the same modules as before."""
    prefixes = []

    def forget(*names):
        modules = dict(sys.modules)
        prefixes.extend(names)
        for name, module in modules.items():
            if name.startswith(names):
                parent, _, child = name.rpartition(".")
                monkeypatch.setattr(modules[parent], child, module, raising=False)  # a new import replaces it
                monkeypatch.delitem(sys.modules, name)

    yield forget
    for name in [name for name in sys.modules if name.startswith(tuple(prefixes))]:
        del sys.modules[name]  # the earlier modules are restored when the changes are undone
