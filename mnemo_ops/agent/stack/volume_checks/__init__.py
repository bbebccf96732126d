"""Whether volumes are what the inventory says, and their disks are there."""
