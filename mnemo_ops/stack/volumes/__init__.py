"""Volumes of a stack: their types, and where on a host they may lie."""
