"""Where a file has content, and where holes, which read as zeros and take no room (lseek(2))."""

from __future__ import annotations

import errno
import os
from typing import IO, List, Tuple

Spans = List[Tuple[int, int]]  # offset and length


def spans(file: IO[bytes], size: int) -> Spans:
    """What of a file is no hole, and the empty span at its end; nothing where there is no hole."""
    if os.fstat(file.fileno()).st_blocks * 512 >= size:
        return []
    found, at = [], 0
    while at < size:
        try:
            start = file.seek(at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # a hole up to the end
                raise
            break
        at = min(file.seek(start, os.SEEK_HOLE), size)
        found.append((start, at - start))
    file.seek(0)
    # tar begins each span at a block: what a file system tells in other pieces has no holes
    if any(start % 512 or (length % 512 and start + length < size) for start, length in found):
        return []
    return [*found, (size, 0)]
