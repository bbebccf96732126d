"""Ansible vault: cipher and keyring, where passwords come from, whole files.

Offers ``cipher``, ``files``, ``passwords``.
"""
