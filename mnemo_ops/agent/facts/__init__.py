"""Facts of a host, under Ansible's names.

Offers ``gather``.
"""
