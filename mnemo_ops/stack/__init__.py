"""What a compose project is: its definition in the inventory, checked before anything is opened.

Offers ``addresses``, ``definition``, ``env_file``, ``nfs_options``, ``nfs_plan``, ``nfs_schema``.
"""
