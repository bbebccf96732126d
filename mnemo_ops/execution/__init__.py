"""A play on its hosts: batches, conditions, handlers, results, and the report.

Offers ``playbook_run``, ``progress_bars``, ``report``, ``session_pool``.
"""
