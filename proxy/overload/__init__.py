"""Overload: how many calls of backends are under way at once, who waits, who is turned away.

A call is what a backend is asked by, from its being sent to the end of its response. What is
answered from the cache, and who hears another's flight, is none and never comes here.

Rules

1. At most ``calls`` are under way. Who finds no place waits, ``queue_s`` seconds at most, and at
   most ``queued`` do.
2. A caller who asks alone may have all of it. As soon as others ask, nobody is given more places
   than his share, nor may more of his calls wait.
3. A place goes to the caller with the fewest calls under way; of equals to the one who was given
   one longest ago; within a caller, to who came first.
4. Where nobody else can wait, the longest row gives way: its last is turned away for a caller with
   a shorter one. So what one asks for never keeps another from waiting.
5. Who would still be waiting when his time is up is turned away at once, as far as can be told from
   how long calls take.
6. Calls that no client waits for (refreshes, samples) get a place if one is free, and never wait.

What must agree (places, rows, callers) changes with no await in between.
"""

from proxy.overload.gradient import Gradient
from proxy.overload.limiter import Limiter, Limits, Place, Shed

__all__ = ["Gradient", "Limiter", "Limits", "Place", "Shed"]
