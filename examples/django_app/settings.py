"""A small Django project whose invoices are written by workers. Not for the open: DEBUG is on, and the key is known.

    python manage.py migrate
    python manage.py runserver            and            leveret worker worker:work

The broker is LEVERET_URL; without it both share one of their own, started in this folder.
"""

from __future__ import annotations

import os
from pathlib import Path

DEBUG = True
SECRET_KEY = "of an example"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = ["orders"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "orders.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE", str(Path(__file__).parent / "db.sqlite3")),
        "OPTIONS": {"timeout": 20},
    }
}
