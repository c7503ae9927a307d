"""x-arguments in RabbitMQ's words: what is refused on declaring, declaring again, consuming and publishing.

Every text was given by a RabbitMQ node or stands in the source of RabbitMQ 4.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.broker import arguments as x_arguments
from leveret.errors import ChannelError

Table = dict[str, object]
DLX = "x-dead-letter-exchange"
DLRK = "x-dead-letter-routing-key"
QUORUM: Table = {"x-queue-type": "quorum"}
NEW_YEAR = datetime(2020, 1, 1, tzinfo=UTC)


def refusal(check: Any, *arguments: object, **named: object) -> str:
    """The text of a 406, without its name; empty if nothing was refused."""
    try:
        check(*arguments, **named)
    except ChannelError as error:
        assert error.code == 406
        return error.text.removeprefix("PRECONDITION_FAILED - ")
    return ""


def declare(arguments: Table, durable: bool = True, exclusive: bool = False, auto_delete: bool = False) -> str:
    check = x_arguments.check_queue_arguments
    return refusal(check, "q", "/", durable, exclusive, arguments, auto_delete=auto_delete)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"x-message-ttl": -1}, "{value_negative,-1}"),
        ({"x-message-ttl": "a"}, '"expected integer, got longstr"'),
        ({"x-message-ttl": True}, '"expected integer, got bool"'),
        ({"x-message-ttl": 1.5}, '"expected integer, got double"'),
        ({"x-message-ttl": NEW_YEAR}, '"expected integer, got timestamp"'),
        ({"x-message-ttl": 2**40}, "{value_too_large,1099511627776}"),
        ({"x-expires": 0}, "{value_zero,0}"),
        ({"x-expires": -1}, "{value_negative,-1}"),
        ({"x-expires": None}, '"expected integer, got void"'),
        ({"x-expires": False}, '"expected integer, got bool"'),
        ({"x-expires": 2**40}, "{value_too_large,1099511627776}"),
        ({"x-max-length": -1}, "{value_negative,-1}"),
        ({"x-max-length": "x"}, '"expected integer, got longstr"'),
        ({"x-max-length-bytes": [1, "a"]}, '"expected integer, got array"'),
        ({"x-max-priority": 256}, "{max_value_exceeded,256}"),
        ({"x-max-priority": -1}, "{value_negative,-1}"),
        ({"x-overflow": "zz"}, "invalid_overflow"),
        ({"x-overflow": 1}, "{unacceptable_type,signedint}"),
        ({"x-queue-mode": "zz"}, "\"unsupported queue mode 'zz'\""),
        ({"x-queue-version": 3}, "\"unsupported queue version '3'\""),
        ({"x-queue-version": "a"}, '"expected integer, got longstr"'),
        ({"x-single-active-consumer": "true"}, "{unacceptable_type,longstr}"),
        ({"x-single-active-consumer": 1}, "{unacceptable_type,signedint}"),
        ({DLRK: "a"}, "routing_key_but_no_dlx_defined"),
        ({DLRK: 1}, "{unacceptable_type,signedint}"),
        ({DLX: "d", DLRK: 1}, "{unacceptable_type,signedint}"),
        ({"x-queue-type": "zz"}, "\"unsupported queue type 'zz'\""),
        ({"x-queue-type": 'z"z'}, '"unsupported queue type \'z\\"z\'"'),
        ({"x-queue-type": 1}, "{unacceptable_type,signedint}"),
        ({"x-queue-leader-locator": "zz"}, "invalid_queue_locator_arg"),
        ({"x-consumer-timeout": -1}, "{value_negative,-1}"),
        ({**QUORUM, "x-dead-letter-strategy": "zz"}, "invalid_dlx_strategy"),
        ({**QUORUM, "x-quorum-initial-group-size": 0}, "{value_zero,0}"),
    ],
)
def test_a_senseless_value_is_refused_in_rabbitmqs_words(arguments: Table, fault: str) -> None:
    name = list(arguments)[-1]
    assert declare(arguments) == f"invalid arg '{name}' for queue 'q' in vhost '/': {fault}"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"x-message-ttl": 0, "x-expires": 1, "x-max-length": 0, "x-max-length-bytes": 2**40},
        {"x-message-ttl": 315_360_000_000},
        {"x-max-priority": 255},
        {"x-overflow": "reject-publish-dlx"},
        {"x-queue-mode": "lazy", "x-queue-version": 2},
        {DLX: "d", DLRK: "k"},
        {DLX: ""},
        {"x-single-active-consumer": True},
        {"x-queue-type": "classic"},
        {"x-queue-type": ""},
        {"x-queue-type": "undefined"},
        {"x-queue-leader-locator": "balanced"},
        {**QUORUM, "x-delivery-limit": -1, "x-overflow": "reject-publish-dlx"},
    ],
)
def test_a_sensible_value_is_accepted(arguments: Table) -> None:
    assert declare(arguments) == ""


def test_an_unknown_argument_is_accepted() -> None:
    assert declare({"x-foo": 1, "foo": None}) == ""


def test_the_first_fault_in_rabbitmqs_order_is_told() -> None:
    assert "'x-message-ttl'" in declare({"x-max-length": -1, "x-message-ttl": -1})
    assert "'x-queue-type'" in declare({"x-message-ttl": -1, "x-queue-type": "zz"})


def test_streams_are_not_supported_and_that_is_said() -> None:
    assert declare({"x-queue-type": "stream"}).endswith("\"unsupported queue type 'stream'\"")


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"x-delivery-limit": 2}, "classic"),
        ({"x-dead-letter-strategy": "at-most-once"}, "classic"),
        ({"x-max-age": "1D"}, "classic"),
        ({**QUORUM, "x-max-priority": 2}, "quorum"),
        ({**QUORUM, "x-queue-mode": "lazy"}, "quorum"),
        ({**QUORUM, "x-max-age": "1D"}, "quorum"),
    ],
)
def test_an_argument_of_another_queue_type_is_refused(arguments: Table, kind: str) -> None:
    name = list(arguments)[-1]
    expected = f"invalid arg '{name}' for queue 'q' in vhost '/' of queue type rabbit_{kind}_queue"
    assert declare(arguments) == expected


@pytest.mark.parametrize(
    ("properties", "fault"),
    [
        ({"durable": False}, "non-durable"),
        ({"exclusive": True}, "exclusive-owner"),
        ({"auto_delete": True}, "auto-delete"),
    ],
)
def test_a_quorum_queue_is_durable_shared_and_stays(properties: dict[str, bool], fault: str) -> None:
    assert declare(QUORUM, **properties) == f"invalid property '{fault}' for queue 'q' in vhost '/'"
    assert declare({}, **properties) == ""


def test_a_quorum_queue_is_named_by_the_client() -> None:
    text = "Cannot declare a server-named queue for type rabbit_quorum_queue"
    assert refusal(x_arguments.check_server_named, QUORUM) == text
    assert refusal(x_arguments.check_server_named, {}) == ""


def test_an_exchange_named_in_an_argument_is_named_by_text() -> None:
    expected = "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"
    assert declare({DLX: 1}) == expected
    check = x_arguments.check_exchange_arguments
    expected = "invalid type 'bool' for arg 'alternate-exchange' in exchange 'x' in vhost '/'"
    assert refusal(check, "x", "/", {"alternate-exchange": True}) == expected
    assert refusal(check, "x", "/", {"alternate-exchange": "a", "foo": 1}) == ""


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"x-priority": "a"}, ': "expected integer, got longstr"'),
        ({"x-priority": True}, ': "expected integer, got bool"'),
        ({"x-consumer-timeout": -1}, ": {value_negative,-1}"),
        ({"x-stream-offset": "first"}, " of queue type rabbit_classic_queue"),
    ],
)
def test_a_senseless_argument_of_a_consumer_is_refused(arguments: Table, fault: str) -> None:
    text = f"invalid arg '{next(iter(arguments))}' for queue 'q' in vhost '/'{fault}"
    assert refusal(x_arguments.check_consumer_arguments, "q", "/", arguments) == text


@pytest.mark.parametrize("arguments", [{}, {"x-priority": -5}, {"x-consumer-timeout": 0}, {"x-foo": 1}])
def test_a_sensible_argument_of_a_consumer_is_accepted(arguments: Table) -> None:
    assert refusal(x_arguments.check_consumer_arguments, "q", "/", arguments) == ""


def queue_again(current: dict[str, Any], received: dict[str, Any]) -> str:
    """Declare a queue, then again otherwise; both as durable, exclusive, auto_delete, arguments."""
    exclusive = current.get("exclusive", False)
    queue = SimpleNamespace(
        name="q",
        durable=current.get("durable", False),
        owner=object() if exclusive else None,
        auto_delete=current.get("auto_delete", False),
        arguments=current.get("arguments", {}),
    )
    asked = [received.get(name, False) for name in ("durable", "exclusive", "auto_delete")]
    return refusal(x_arguments.check_queue_equivalent, queue, "/", *asked, received.get("arguments", {}))


@pytest.mark.parametrize(
    ("current", "received", "name", "told"),
    [
        ({}, {"durable": True}, "durable", "'true' but current is 'false'"),
        ({"auto_delete": True}, {}, "auto_delete", "'false' but current is 'true'"),
        ({"durable": True}, {"auto_delete": True}, "durable", "'false' but current is 'true'"),
    ],
)
def test_a_queue_declared_again_must_have_the_same_properties(
    current: Table, received: Table, name: str, told: str
) -> None:
    text = f"inequivalent arg '{name}' for queue 'q' in vhost '/': received {told}"
    assert queue_again(current, received) == text


@pytest.mark.parametrize(
    ("current", "received", "name", "told"),
    [
        ({"x-max-length": 1}, {"x-max-length": 2}, "x-max-length", "'2' but current is '1'"),
        ({"x-max-length": 1}, {"x-max-length": "a"}, "x-max-length", "'a' but current is '1'"),
        (
            {"x-max-length": 1},
            {},
            "x-max-length",
            "none but current is the value '1' of type 'signedint'",
        ),
        (
            {},
            {"x-max-length": 2**40},
            "x-max-length",
            "the value '1099511627776' of type 'long' but current is none",
        ),
        (
            {},
            {"x-overflow": "drop-head"},
            "x-overflow",
            "the value 'drop-head' of type 'longstr' but current is none",
        ),
        (
            {},
            {"x-single-active-consumer": True},
            "x-single-active-consumer",
            "the value 'true' of type 'bool' but current is none",
        ),
        ({DLX: "d", DLRK: "é"}, {DLX: "d", DLRK: "ü"}, DLRK, "'ü' but current is 'é'"),
        (
            {"x-message-ttl": 1, "x-expires": 3},
            {"x-message-ttl": 2, "x-expires": 4},
            "x-expires",
            "'4' but current is '3'",
        ),
        ({}, QUORUM, "x-queue-type", "'quorum' but current is 'classic'"),
        (QUORUM, {}, "x-queue-type", "'classic' but current is 'quorum'"),
        (
            {**QUORUM, "x-delivery-limit": 2},
            {**QUORUM, "x-delivery-limit": 3},
            "x-delivery-limit",
            "'3' but current is '2'",
        ),
    ],
)
def test_a_queue_declared_again_must_have_the_same_arguments(
    current: Table, received: Table, name: str, told: str
) -> None:
    text = f"inequivalent arg '{name}' for queue 'q' in vhost '/': received {told}"
    assert queue_again({"arguments": current}, {"arguments": received}) == text


@pytest.mark.parametrize(
    ("current", "received"),
    [
        ({}, {"x-queue-type": "classic"}),
        ({"x-queue-type": "classic"}, {}),
        ({"x-foo": 1}, {"x-foo": 2}),
        ({DLX: "d"}, {DLX: b"d"}),
    ],
)
def test_what_means_the_same_may_be_declared_again(current: Table, received: Table) -> None:
    assert queue_again({"arguments": current}, {"arguments": received}) == ""


def test_an_exclusive_queue_is_never_durable() -> None:
    assert queue_again({"exclusive": True, "durable": True}, {"exclusive": True}) == ""
    assert queue_again({"exclusive": True}, {"exclusive": True, "durable": True}) == ""


@pytest.mark.parametrize(("current", "received"), [({"exclusive": True}, {}), ({}, {"exclusive": True})])
def test_a_queue_cannot_become_or_cease_to_be_exclusive(current: Table, received: Table) -> None:
    queue = SimpleNamespace(
        name="q", durable=False, owner=object() if current else None, auto_delete=False, arguments={}
    )
    with pytest.raises(ChannelError) as refused:
        x_arguments.check_queue_equivalent(queue, "/", False, bool(received), False, {})  # type: ignore[arg-type]
    assert refused.value.code == 405
    assert refused.value.text.startswith(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be"
    )


PLAIN = ("direct", False, False, False)


@pytest.mark.parametrize(
    ("received", "arguments", "name", "told"),
    [
        (("fanout", False, False, False), {}, "type", "'fanout' but current is 'direct'"),
        (("direct", True, False, False), {}, "durable", "'true' but current is 'false'"),
        (("direct", False, True, False), {}, "auto_delete", "'true' but current is 'false'"),
        (("direct", False, False, True), {}, "internal", "'true' but current is 'false'"),
        (PLAIN, {"alternate-exchange": "b"}, "alternate-exchange", "'b' but current is 'a'"),
        (PLAIN, {}, "alternate-exchange", "none but current is the value 'a' of type 'longstr'"),
    ],
)
def test_an_exchange_declared_again_must_be_the_same(
    received: tuple[str, bool, bool, bool], arguments: Table, name: str, told: str
) -> None:
    exchange = SimpleNamespace(
        name="x",
        type="direct",
        durable=False,
        auto_delete=False,
        internal=False,
        arguments={"alternate-exchange": "a", "other": 1},
    )
    check = x_arguments.check_exchange_equivalent
    expected = f"inequivalent arg '{name}' for exchange 'x' in vhost '/': received {told}"
    assert refusal(check, exchange, "/", *received, arguments) == expected
    assert refusal(check, exchange, "/", *PLAIN, {"alternate-exchange": "a", "other": 2}) == ""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("abc", "no_integer"),
        ("", "no_integer"),
        ("-", "no_integer"),
        (" 5", "no_integer"),
        ("٣", "no_integer"),
        ("-1", "{value_negative,-1}"),
        ("5abc", '{leftover_string,"abc"}'),
        ("1.5", '{leftover_string,".5"}'),
        ("5 ", '{leftover_string," "}'),
        ('5"a', '{leftover_string,"\\"a"}'),
        ("315360000001", "{value_too_large,315360000001}"),
    ],
)
def test_an_expiration_that_is_no_time_is_refused(text: str, fault: str) -> None:
    assert refusal(x_arguments.parse_expiration, text) == f"invalid expiration '{text}': {fault}"


@pytest.mark.parametrize(
    ("text", "ms"), [("0", 0), ("007", 7), ("+5", 5), ("4294967296", 2**32), ("315360000000", 315_360_000_000)]
)
def test_an_expiration_is_read_as_milliseconds(text: str, ms: int) -> None:
    assert x_arguments.parse_expiration(text) == ms


@given(st.text(max_size=8))
def test_any_expiration_is_a_number_or_a_406(text: str) -> None:
    refused = refusal(x_arguments.parse_expiration, text)
    assert refused == "" or refused.startswith(f"invalid expiration '{text}': ")


@pytest.mark.parametrize(
    ("value", "term"),
    [
        (None, "undefined"),
        (True, "true"),
        (1, "1"),
        (1.5, "1.5"),
        ("a\\b", '<<"a\\\\b">>'),
        ("é", '<<"é"/utf8>>'),
        (b"a", '<<"a">>'),
        (Decimal("1.5"), "{1,15}"),
        (NEW_YEAR, "1577836800"),
        ([1, "a"], '[{signedint,1},{longstr,<<"a">>}]'),
        ({"k": [True]}, '[{<<"k">>,array,[{bool,true}]}]'),
    ],
)
def test_values_are_written_as_erlang_writes_them(value: object, term: str) -> None:
    assert x_arguments.term(value) == term


def test_an_argument_not_given_has_its_default() -> None:
    assert x_arguments.queue_argument({}, "x-overflow") == "drop-head"
    assert x_arguments.queue_argument({"x-overflow": "reject-publish"}, "x-overflow") == "reject-publish"
    assert x_arguments.queue_argument({}, "x-max-length") is None
    assert x_arguments.queue_type({}) == "classic"
    assert x_arguments.queue_type(QUORUM) == "quorum"
