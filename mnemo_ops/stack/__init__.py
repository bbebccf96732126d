"""What a compose project is: ``stack`` of the inventory and its types of volumes, checked before anything is opened.

Offers ``addresses``, ``adopted_files``, ``adoption``, ``definition``, ``env_file``, ``image_archive``, ``masking``,
``nfs_options``, ``nfs_plan``, ``nfs_schema``, ``settings``, ``validation``. Of the compose files as their owner wrote
them: ``project.places``, ``project.private``, ``project.reading``, ``project.shipment``.
"""
