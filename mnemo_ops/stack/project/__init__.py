"""What a Compose project names: its files as their owner wrote them, read on the controller, and what of them travels.

Offers ``git_ref`` (a source as of a commit), ``places`` (paths, and what names them), ``private`` (what is the
controller's), ``reading`` (the files and directories that compose files name, with their lines) and ``shipment`` (what
a deploy puts on a host, and what it leaves alone there).
"""
