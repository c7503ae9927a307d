"""Orders come as JSON, and are answered before their invoice is written."""

from __future__ import annotations

import json
from functools import partial

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from orders.models import Order
from orders.tasks import write_invoice


@csrf_exempt
@require_POST
def place(request: HttpRequest) -> JsonResponse:
    order = json.loads(request.body)
    with transaction.atomic():
        row = Order.objects.create(customer=order["customer"], items=order["items"])
        # Not before the commit: a worker is quick, and would not find the row.
        transaction.on_commit(partial(write_invoice.send, row.pk))
    return JsonResponse({"order": row.pk}, status=202)


@require_GET
def invoice(request: HttpRequest, order: int) -> JsonResponse:
    row = get_object_or_404(Order, pk=order)
    return JsonResponse({"order": row.pk, "invoice": row.invoice or None})
