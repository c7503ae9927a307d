"""The addresses of this project."""

from __future__ import annotations

from django.urls import path

from orders import views

urlpatterns = [
    path("orders", views.place),
    path("orders/<int:order>/invoice", views.invoice),
]
