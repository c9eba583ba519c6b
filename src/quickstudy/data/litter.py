"""Files and folders that systems leave beside data, and that no reader looks at: one list for every folder that is read."""

from __future__ import annotations

import pathlib

LITTER = frozenset(
    [
        *("__macosx", "icon\r", "network trash folder", "temporary items"),  # macOS
        *("$recycle.bin", "system volume information", "recycler", "thumbs.db", "ehthumbs.db", "desktop.ini"),  # Windows
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@recycle", "@recently-snapshot"),  # Synology and QNAP
        *("lost+found", "__pycache__"),
    ]
)
"""Names of such files and folders, in lower case."""


def is_litter(path: str) -> bool:
    """Return whether a path, or a folder that it lies in, is hidden or known litter.

    >>> is_litter("cat/@eaDir/1.jpg/THUMB_M.jpg"), is_litter("cat/.DS_Store"), is_litter("cat/1.jpg")
    (True, True, False)
    """
    return any(part.startswith(".") or part.lower() in LITTER for part in pathlib.PurePosixPath(path).parts)
