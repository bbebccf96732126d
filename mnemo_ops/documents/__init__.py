"""YAML that knows its lines: every error names file and line.

Offers ``yaml_lines``.
"""
