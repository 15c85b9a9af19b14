"""Ways to call an app in tests."""

from __future__ import annotations

import warnings
from typing import Any

import httpx

with warnings.catch_warnings():
    # Newer versions of Starlette warn that their TestClient should use another library.
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

__all__ = ["TestClient", "in_this_loop"]


def in_this_loop(app: Any, **options: Any) -> httpx.AsyncClient:
    """Return a client that calls the app in this event loop. The test runs the lifespan."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app, **options), base_url="http://backend")
