"""A task to its state: resources and actions, and the loop that converges.

Offers ``action``, ``check_taint``, ``converge``, ``resource``.
"""
