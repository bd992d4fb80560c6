"""Inputs that are asked for at the same time, asked for in one call.

Rules

1. Only what is equal in all but the input goes together: backend, path, parameters, every header
   that is not the name of one attempt. So inputs of two callers with different credentials never
   do, whoever may share what is stored.
2. The inputs of one request go together as they came. Who finds others waiting or under way waits
   until for a few milliseconds nobody came, and ten times that at most; who finds nobody goes.
3. One input alone is asked for in its caller's own words, and its answer comes as it comes.
4. A reply is handed out only if there is an answer in it for each input. If there is not, each
   request is asked for by itself, and for a while nothing more is put together.
5. An error that may be about one input is told to nobody else: the batch is halved until that one
   is found. Errors about something else are everybody's.
6. Who goes takes his own inputs along. A call that nobody waits for any more is called off.
"""

from proxy.batching.batcher import Batcher
from proxy.batching.call import is_everybodys
from proxy.batching.likeness import is_signed
from proxy.batching.words import LONG_BYTES, Asker, Company, Counts, Limits, Slice, Unsplit

__all__ = [
    "LONG_BYTES",
    "Asker",
    "Batcher",
    "Company",
    "Counts",
    "Limits",
    "Slice",
    "Unsplit",
    "is_everybodys",
    "is_signed",
]
