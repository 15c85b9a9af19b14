"""LSQ_LIMIT_FILE and LSQ_LIMIT_REDIS."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from fastapi import FastAPI

from lsq_service_async import Config, ConfigurationError, ServiceClient
from lsq_service_async.integrations.fastapi import client_of, lifespan
from lsq_service_async.limits import HostLimiter, LocalLimiter, limiter_from_env
from lsq_service_async.limits.redis import RedisLimiter


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"LSQ_ACCESS_KEY": "CANARY-a", "LSQ_SECRET_KEY": "CANARY-b", "LSQ_ORG_ID": "7"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({}, LocalLimiter),
        ({"LSQ_LIMIT_FILE": "", "LSQ_LIMIT_REDIS": ""}, LocalLimiter),
        ({"LSQ_LIMIT_FILE": "limit.sqlite"}, HostLimiter),
        ({"LSQ_LIMIT_REDIS": "redis://127.0.0.1:1/0"}, RedisLimiter),
    ],
)
async def test_clients_use_the_limiter_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], kind: type
) -> None:
    """`ServiceClient.from_env` and a lifespan with a function use it; an argument and a Config object have priority."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    own = LocalLimiter()
    assert isinstance(ServiceClient.from_env().limiter, kind)
    assert ServiceClient.from_env(limiter=own).limiter is own
    for config, limiter, expected in (
        (Config.from_env, None, kind),
        (lambda: Config.from_env(timeout=10.0), None, kind),
        (Config.from_env, own, LocalLimiter),
        (Config.from_env(), None, LocalLimiter),
    ):
        app = FastAPI(lifespan=lifespan(config, limiter=limiter))
        async with app.router.lifespan_context(app):
            assert isinstance(client_of(app).limiter, expected)


def test_both_variables_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names both variables."""
    monkeypatch.setenv("LSQ_LIMIT_FILE", "limit.sqlite")
    monkeypatch.setenv("LSQ_LIMIT_REDIS", "redis://:CANARY-b@127.0.0.1")
    with pytest.raises(ConfigurationError, match="LSQ_LIMIT_FILE and LSQ_LIMIT_REDIS are both set"):
        ServiceClient.from_env()


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without redis-py, the message has the command that installs it."""
    monkeypatch.setenv("LSQ_LIMIT_REDIS", "redis://127.0.0.1")
    monkeypatch.delitem(sys.modules, "lsq_service_async.limits.redis")
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigurationError, match=r"LSQ_LIMIT_REDIS is set, but .* pip install .*\[redis\]"):
        limiter_from_env()
