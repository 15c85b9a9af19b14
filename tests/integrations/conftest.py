"""Fixtures of the integration tests."""

from __future__ import annotations

import pytest
from integrations.backend import backend_of

from lsq_service_async.emulator import Emulator


@pytest.fixture
def emulator():
    """Return an emulator in this process without a rate limit, of an account without mandatory fields."""
    return Emulator(window=None, enforce_mandatory=False)


@pytest.fixture
def app(emulator):
    """Return a backend with a client that calls the emulator."""
    return backend_of(emulator)
