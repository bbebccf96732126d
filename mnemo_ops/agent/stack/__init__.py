"""A compose project on its host: containers, Postgres, fences, what a restore keeps.

Offers ``bind_sources``, ``containers``, ``copy_marker``, ``datasets``, ``datasets.kind``, ``exclusivity``, ``fence``,
``last_run``, ``manifest``, ``match``, ``orchestrator``, ``packing``, ``postgres_digest``, ``recipients``,
``restore_record``, ``room``, ``sql``, ``stack``, ``volume_checks.disks``, ``volume_checks.network_mounts``,
``volume_checks.volumes``,
``volume_move.move_plan``, ``volume_move.moving``, ``volume_move.sync``, ``volume_options``, ``written_files``.
Of a whole Postgres cluster: ``cluster.dump``, ``cluster.earlier``, ``cluster.entrance``, ``cluster.facts``,
``cluster.files``, ``cluster.home``, ``cluster.place``, ``cluster.proof``, ``cluster.scratch``, ``cluster.sealed``,
``cluster.server``, ``cluster.settings``.
Of what a project says of itself: ``project.derive``, ``project.model``, ``project.read``, ``project.rows``. Of one that
nobody described: ``adoption.beside``, ``adoption.mounts``, ``adoption.whereabouts``.
"""
