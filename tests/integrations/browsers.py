"""Ways to call an app in tests."""

from __future__ import annotations

import warnings
from typing import Any

import httpx

with warnings.catch_warnings():
    # Newer versions of Starlette would rather have another library below their TestClient.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

__all__ = ["TestClient", "in_this_loop"]


def in_this_loop(app: Any, **options: Any) -> httpx.AsyncClient:
    """Calls the app from a test that is a coroutine. The lifespan is the test's to run."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app, **options), base_url="http://backend")
