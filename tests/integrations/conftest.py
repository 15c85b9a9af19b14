"""What the tests of a backend share."""

from __future__ import annotations

import pytest
from integrations.backend import backend_of

from lsq_service_async.emulator import Emulator


@pytest.fixture
def emulator():
    """In process, without a limit."""
    return Emulator(window=None)


@pytest.fixture
def app(emulator):
    """A backend whose calls end in the emulator."""
    return backend_of(emulator)
