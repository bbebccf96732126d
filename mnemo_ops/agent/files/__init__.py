"""Files for resources: text edits, modes and owners, listings, archives, mounts.

Offers ``archive``, ``archive_names``, ``file_write``, ``listing``, ``mode``, ``mounts``, ``ownership``,
``tar_headers``, ``text_edit``.
"""
