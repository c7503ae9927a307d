"""The app as Django registers it."""

from __future__ import annotations

from django.apps import AppConfig


class LeveretConfig(AppConfig):
    name = "leveret.contrib.django"
    label = "leveret"
    verbose_name = "Leveret"
    default_auto_field = "django.db.models.BigAutoField"
