"""The suites that are run, a description each. Nothing here is tuned to what Leveret can do: both brokers get the same."""

from __future__ import annotations

from compat.suite import Certificates, Suite

RERUNS = "pytest-rerunfailures"

SUITES = [
    Suite(
        name="pika",
        sdist="pika",
        module="pika",
        tests=("tests/acceptance",),
        install=("pytest", "pytest-timeout", "gevent", "tornado", "twisted"),
    ),
    Suite(
        name="aiormq",
        sdist="aiormq",
        module="aiormq",
        tests=("tests/test_channel.py", "tests/test_connection.py"),
        install=("aiormq", "aiomisc-pytest", "pytest", "pytest-timeout"),
        arguments=("-p", "no:asyncio"),
        docker=True,
        tls=True,
        certificates=Certificates("tests/certs/ca.pem", "tests/certs/server.pem", "tests/certs/server.key"),
    ),
    Suite(
        name="aio-pika",
        sdist="aio_pika",
        module="aio_pika",
        tests=("tests",),
        install=("aio-pika", "aiomisc-pytest", "pytest", "pytest-timeout", "shortuuid"),
        arguments=("-p", "no:asyncio"),
        docker=True,
        tls=True,
        suite_s_max=3600,
    ),
    Suite(
        name="py-amqp",
        sdist="amqp",
        module="amqp",
        tests=("t/integration",),
        install=("amqp", "pytest<=8.0.0", "pytest-timeout", f"{RERUNS}<15"),
        conftest_arguments=("-E", "rabbitmq"),
        tls=True,
        certificates=Certificates(
            "/etc/rabbitmq/ca/ca_certificate.pem",
            "/etc/rabbitmq/ca/server_certificate.pem",
            "/etc/rabbitmq/ca/server_key.pem",
            dockerfile="Dockerfile",
        ),
        deselect={
            "t/integration/test_rmq.py::test_tls_default_certs": "talks to a host on the internet",
            "t/integration/test_rmq.py::test_tls_no_default_certs_fails": "talks to a host on the internet",
        },
    ),
    Suite(
        name="kombu",
        sdist="kombu",
        module="kombu",
        tests=("t/integration/test_py_amqp.py",),
        install=("kombu", "pytest", "pytest-timeout", RERUNS),
        conftest_arguments=("-E", "py-amqp"),
    ),
    Suite(
        name="celery",
        sdist="celery",
        module="celery",
        tests=("t/integration",),
        install=(
            "celery[auth,redis,sqlalchemy]",
            "django",
            "pydantic",
            "pytest",
            "pytest-click",
            "pytest-order",
            "pytest-subtests",
            "pytest-timeout",
            RERUNS,
        ),
        # The session's worker lives in a thread of pytest's process, as Celery's own runs have it.
        # Left out: what needs Azure, and what measures the memory of a process without a broker.
        arguments=(
            "-p",
            "celery.contrib.pytest",
            "--ignore=t/integration/test_backend.py",
            "--ignore=t/integration/test_mem_leak_in_exception_handling.py",
        ),
        environment={"TEST_BROKER": "pyamqp://", "TEST_BACKEND": "rpc", "PYTHONUNBUFFERED": "1"},
        test_s_max=120,
        suite_s_max=3600,
    ),
    Suite(
        name="dramatiq",
        sdist="dramatiq",
        module="dramatiq",
        tests=("tests/test_rabbitmq.py",),
        install=(
            "dramatiq[rabbitmq,redis,memcached,watch,prometheus]",
            "pytest",
            "pytest-benchmark",
            "pytest-timeout",
        ),
    ),
    Suite(
        name="rabbitmq-tutorials",
        sdist="rabbitmq-tutorials",
        module="",
        tests=("compat/tutorials/test_python.py",),
        install=("pika", "pytest", "pytest-timeout"),
        environment={"TUTORIALS": "{folder}/python"},
    ),
]
