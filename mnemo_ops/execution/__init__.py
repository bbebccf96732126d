"""A play on its hosts: batches, conditions, handlers, results, and the report.

Offers ``next_command``, ``playbook_run``, ``report``, ``session_pool``.
"""
