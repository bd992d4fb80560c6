"""What could be better, by rules: each looks at one thing, and names the setting to change."""

from __future__ import annotations

from typing import Final

from proxy.reporting.findings import health, meaning, reuse, slow
from proxy.reporting.findings.finding import Finding, Rule
from proxy.reporting.told import Told

RULES: Final[tuple[Rule, ...]] = (*slow.RULES, *reuse.RULES, *health.RULES, *meaning.RULES)


def findings(told: Told) -> list[Finding]:
    """All that the rules find, the most pressing first."""
    found = [finding for rule in RULES for finding in rule(told)]
    return sorted(found, key=lambda finding: (finding.weight, -finding.reach))
