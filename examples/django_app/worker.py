"""What the worker loads: leveret worker worker:work. It sets Django up first, as manage.py does for the web server."""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from orders.tasks import work  # noqa: E402

__all__ = ["work"]
