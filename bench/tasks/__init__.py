"""Leveret's task library measured beside other Python work queues. `make bench-tasks` runs `python -m bench.tasks`.

Peers live in a venv of their own (.venv-peers, from requirements.txt here); each has one small application in apps/,
run as its user would run it. Not a test: figures depend on the machine and are read by a person.
"""
