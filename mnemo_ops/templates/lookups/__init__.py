"""Lookups of templates: files, lists, secrets."""
