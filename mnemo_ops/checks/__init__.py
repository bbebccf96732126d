"""What is looked at before a flow changes anything.

Offers ``findings`` and ``preflight``.
"""
