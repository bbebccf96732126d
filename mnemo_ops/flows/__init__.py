"""Runbooks: deploy, backup, restore, migrate, NFS, moves of volumes; each a list of steps.

Offers ``adopt``, ``backup``, ``contents``, ``deploy``, ``derived``, ``engine``, ``journal``, ``migrate.images``,
``migrate.migration``, ``nfs_setup``, ``restore``, ``runs``, ``volume_move``.
"""
