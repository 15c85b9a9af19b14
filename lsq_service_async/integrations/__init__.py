"""One optional library each; nothing here is imported by the rest of the package.

fastapi.py    one client per app, opened in the lifespan, reached by a dependency; extra ``fastapi``
"""
