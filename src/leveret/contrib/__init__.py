"""Leveret with other people's frameworks: one module each, imported by programs that have the framework.

Nothing else in the package imports it.
"""
