"""A play on its hosts: batches, conditions, handlers, results, and the report.

Offers ``playbook_run``, ``report``, ``session_pool``.
"""
