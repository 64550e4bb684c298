"""Before torch is imported: tiny nets are fastest on one thread, and bytes depend on the number."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
