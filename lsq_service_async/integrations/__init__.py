"""Integrations with optional libraries. The rest of the package does not import them.

fastapi.py         one client per app, opened in its lifespan and available as a dependency; extra ``fastapi``
opentelemetry.py   spans and metrics of calls and attempts; extra ``otel``
pytest_plugin.py   fixtures: an emulator, and a client that does not really wait; extra ``emulator``
"""
