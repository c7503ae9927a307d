"""Crash testing: a broker, publishers and workers as real processes that are killed at random moments.

`make crash` runs it (crash/__main__). The processes write down what they see (crash/records), crash/driver kills and
starts them, and crash/checker compares what they wrote with what is promised. Runs against Leveret and RabbitMQ.
"""
