"""What was done with other replicas, as plain integers."""

from __future__ import annotations


class Counts:
    """Counters that only grow; how many letters were sent is counted by the post."""

    __slots__ = ("alone", "broken", "followed", "led", "odd", "taken_over")

    def __init__(self) -> None:
        self.led = 0  # flights that other replicas could hear
        self.followed = 0  # flights that heard another replica's
        self.taken_over = 0  # locks, of replicas that were silent or of no use
        self.alone = 0  # flights that could not meet other replicas
        self.broken = 0  # followed, and then broken off by silence, loss or damage
        self.odd = 0  # letters that did not open
