"""What a worker of Django's own tasks loads; the settings are those of DJANGO_SETTINGS_MODULE:

    DJANGO_SETTINGS_MODULE=settings leveret worker leveret.contrib.django_worker

`work` belongs to the backend `default`. For another one write such a module of your own. Imported by nobody else: it sets
Django up.
"""

from __future__ import annotations

import django
from django.tasks import task_backends

django.setup()
work = task_backends["default"].work
