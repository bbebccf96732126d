"""Jinja2 as Ansible has it: rendering, what a template refers to, what is not known yet.

Offers ``engine``, ``filters``, ``lookups.table``, ``references``, ``render``.
"""
