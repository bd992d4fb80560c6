"""Fitting: a labelled file in, a suggested threshold and all that speaks for it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from proxy.calibration.labelled import Labelled, Pair
from proxy.calibration.rehearsal import Rehearsal
from proxy.calibration.suggestion import Suggestion, suggest
from proxy.calibration.trials import Trials, Tried
from proxy.config.settings import Settings
from proxy.model.errors import ConfigError
from proxy.semantic.base import EmbedderError
from proxy.semantic.embedding import Standing

_NEEDED: Final = "a threshold needs a model: of none, there are no similarities"


class Fitted(NamedTuple):
    """What was found out."""

    suggestion: Suggestion
    model: str
    off: Mapping[str, str]  # scripts in which the model cannot tell meanings apart, and why
    refused: Mapping[str, int]  # why questions were not answered, whatever the threshold


async def fit(settings: Settings, labelled: Labelled, told: Callable[[str], None]) -> Fitted:
    """Rehearse ``labelled`` with the parts that ``settings`` ask for.

    ``told`` hears what is being done.

    Raises:
        ConfigError: a package is missing, or the model cannot be used.
    """
    semantic = settings.semantic
    if semantic.embedder.kind == "none":
        raise ConfigError(_NEEDED)
    rehearsal = Rehearsal(settings)
    try:
        told("loading the model")
        await rehearsal.start()
        embedding, known = rehearsal.semantic.embedding, rehearsal.known
        if embedding is None or known is None:
            raise ConfigError(_NEEDED)
        if embedding.standing is Standing.UNFIT:
            whys = "; ".join(f"{script}: {test.why}" for script, test in embedding.tests.items())
            raise ConfigError(f"{embedding.name} cannot tell meanings apart: {whys}")
        texts = _texts(labelled)
        told(f"embedding {len(texts):,} questions")
        await known.learn(texts, lambda _done, _whole: None)
        told("asking them")
        tried = await _tried(Trials(rehearsal), labelled)
        scored = [each.nearest for each in tried if each.nearest is not None]
        asked = sum(each.met.exact is None for each in tried)
        return Fitted(
            suggest(scored, asked, semantic.error_budget, semantic.least_threshold),
            embedding.name,
            {each.value: test.why for each, test in embedding.tests.items() if not test.passed},
            _refused(tried),
        )
    except EmbedderError as error:
        raise ConfigError(f"the model cannot be used: {error}") from error
    finally:
        await rehearsal.close()


async def _tried(trials: Trials, labelled: Labelled) -> Sequence[Tried]:
    tried = []
    for each in labelled:
        if isinstance(each, Pair):
            tried.append(await trials.pair(each))
        else:
            tried.append(await trials.look(each))
            await trials.settle(each, tried[-1])
    return tried


def _texts(labelled: Labelled) -> set[str]:
    texts: set[str] = set()
    for each in labelled:
        texts |= {each.stored, each.asked} if isinstance(each, Pair) else {each.text}
    return texts


def _refused(tried: Sequence[Tried]) -> Mapping[str, int]:
    """Of what no threshold would have served, why not."""
    doubts = Counter(each.doubt for each in tried if each.nearest is None and each.doubt)
    return dict(doubts.most_common())
