"""A transactional outbox as a Django app: what is sent inside `transaction.atomic()` is sent if it commits, and only then.

    INSTALLED_APPS = [..., "leveret.contrib.django"]
    LEVERET_APP = "shop.tasks:work"

    from leveret.contrib.django.outbox import send

    with transaction.atomic():
        order.save()
        send(confirm.call(order.id))

`manage.py leveret_relay` sends it afterwards, at least once (contrib/relay tells the states after a crash). With
`transaction.on_commit` alone a process that dies at the wrong moment has lost the message. See docs/outbox.md.
"""
