"""Makes this process a Django project, as soon as it is imported: before anything that asks Django for models."""

from __future__ import annotations

import atexit
import shutil
import tempfile

from django.conf import settings

PLACE = tempfile.mkdtemp(prefix="leveret-django-")
atexit.register(shutil.rmtree, PLACE, ignore_errors=True)

CONFIGURE = """
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["leveret.contrib.django"],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {name!r}}}}},
    LEVERET_APP={app!r},
)
django.setup()
"""
"""For processes that a test starts, too: the database's file, and the setting LEVERET_APP."""

if not settings.configured:
    exec(CONFIGURE.format(name=f"{PLACE}/program.db", app=""))
