"""Write the file: to FILE, or to standard output."""

import sys
from pathlib import Path

from . import make
from .base import dumps

if __name__ == "__main__":
    text = dumps(make())
    if len(sys.argv) == 2:
        Path(sys.argv[1]).write_text(text)
    else:
        sys.stdout.write(text)
