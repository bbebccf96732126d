"""Hosts and groups from YAML and INI, and how each host is reached.

Offers ``connection_vars``, ``load``.
"""
