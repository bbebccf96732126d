"""Documentation made of code: JSON Schema for editors, the tables of the manual.

Offers ``json_forms``, ``json_schema``, ``tables``.
"""
