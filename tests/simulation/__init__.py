"""The whole system in one thread, on virtual time and from one seed: a broker, its disk, the network, publishers and
workers, and everything that can go wrong between them. `make simulate` runs many seeds; a failing one replays.

    loop      the clock: an asyncio loop that never waits, and forgets what a killed process had planned
    network   connections in memory: late, in pieces, cut, silent
    disk      a store whose commits take as long, and fail, as the seed says
    model     what a queue promises, in the simplest words: told of everything, it raises Violation
    actors    processes that can be killed, and publishers, on the real client
    workers   consumers with habits, and pools with the slots and sources of a `leveret worker`
    world     all of it together, and what can be done to it
    deeds     what may happen next, drawn from the seed; play makes a whole story of it
    planted   brokers with a defect: the simulation has to find each

Real: client, wire, server, broker, store and SQLite. Not here: sockets, the kernel and TLS (tests/server), torn writes
(tests/powerloss), processes (tests/crash), the worker's threads and processes, and queues that are purged or deleted, whose
rows the store's thread deletes at its leisure.
"""
