"""The command line: one module per task family."""

import gc

gc.set_threshold(50_000)  # a command lives for seconds: looking for garbage while it starts would cost a tenth of it
