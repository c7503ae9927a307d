"""For the tests of programs that use Leveret: the pytest plugin (plugin), and what it is made of (harness).

Nothing else in the package imports it, and nothing of it is loaded before a test asks for it. See docs/testing.md.
"""
