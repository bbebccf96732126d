"""What is looked at before a flow changes anything.

Offers ``preflight``.
"""
