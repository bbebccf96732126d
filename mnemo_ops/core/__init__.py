"""Nouns that every room uses: hosts, tasks and options, secrets, paths and names as messages write them.

Offers ``atomic_file``, ``model``, ``next_command``, ``options``, ``paths``, ``secret``, ``secret_text``,
``suggest``, ``visible``.
"""
