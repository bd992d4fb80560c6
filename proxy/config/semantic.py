"""The settings of answers to questions asked in other words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from proxy.config.section import Section, conflict
from proxy.config.units import (
    Accepts,
    Count,
    HeaderSecret,
    Origin,
    Phrase,
    ReadableFile,
    SecretInFile,
    Share,
    SomeCount,
    SomeSeconds,
    whole,
)
from proxy.model.meaning import Doubt

_VETO: Final = "veto-"

Similarity = Annotated[float, Field(ge=0.5, le=1), Accepts("a number from 0.5 to 1")]
Dimensions = Annotated[
    int,
    Field(ge=8, le=8192),
    BeforeValidator(whole),
    Accepts("a whole number from 8 to 8192"),
]
Prefix = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9_]{0,39}$"),
    Accepts("up to 40 of a to z, 0 to 9 and _, a letter first"),
]
Veto = Literal[
    "script", "numbers", "units", "dates", "language", "negation", "antonyms", "identifiers",
    "quotes", "entities", "question-word", "order", "length",
]  # fmt: skip


class Embedder(Section):
    """The model that turns questions into vectors. Vectors of different models never meet."""

    kind: Literal["sentence-transformers", "onnx", "remote", "ngram", "none"] = Field(
        default="sentence-transformers",
        description="Which kind: a model in this process (sentence-transformers, extra "
        "`semantic`, or onnx, extra `onnx`), one behind an OpenAI-compatible /v1/embeddings "
        "(remote), pieces of words without any model (ngram), or none: then only canonical "
        "questions and slips of the keyboard are found. remote and ngram need the extra "
        "`vectors`.",
    )
    model: str = Field(
        default="all-MiniLM-L6-v2",
        min_length=1,
        description="The model's name, or its folder; for remote, the name that is asked for.",
    )
    path: Path | None = Field(
        default=None,
        description="For onnx: a folder with model.onnx and tokenizer.json, as `sidecache model "
        "export` makes one.",
    )
    backend: Literal["torch", "onnx", "openvino"] = Field(
        default="torch", description="For sentence-transformers: what runs the model."
    )
    device: str | None = Field(
        default=None,
        description="For sentence-transformers: where, such as cpu or cuda; null: its choice.",
    )
    threads: SomeCount = Field(default=1, description="For onnx: threads that it may use.")
    url: Origin | None = Field(
        default=None,
        description="For remote: where; /v1/embeddings is added where it is missing.",
        examples=["http://127.0.0.1:8000/v1"],
    )
    api_key: HeaderSecret | None = Field(
        default=None, description="For remote: sent as `Authorization: Bearer`; null: no key."
    )
    api_key_file: SecretInFile | None = Field(
        default=None, description="A file to read `api_key` from."
    )
    ca_file: ReadableFile | None = Field(
        default=None,
        description="For remote: the authorities to trust (PEM) in place of the system's.",
    )
    dimensions: Dimensions | None = Field(
        default=None, description="For remote: the length of vectors to ask for; null: the model's."
    )
    timeout_s: SomeSeconds = Field(
        default=0.03,
        description="How long a question may wait for its vector; later is a miss. A remote model "
        "may need more.",
    )
    max_batch: SomeCount = Field(default=32, description="Questions that are embedded at once.")
    max_unknown: Annotated[float, Field(ge=0, le=1), Accepts("a number from 0 to 1")] = Field(
        default=0.05,
        description="The share of a question's tokens that the model may not know; above it, the "
        "question is not looked for by meaning.",
    )

    @property
    def secret(self) -> str | None:
        """The key for the remote model, wherever it was given."""
        held = self.api_key_file.secret if self.api_key_file else self.api_key
        return held.get_secret_value() if held else None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.api_key and self.api_key_file:
            raise conflict("cannot be given beside `api_key`", "api_key_file", "api_key")
        if self.kind == "onnx" and self.path is None:
            raise conflict("onnx needs a `path`, as `sidecache model export` makes one", "kind")
        if self.kind == "remote" and self.url is None:
            raise conflict("remote needs a `url`", "kind", "url")
        return self


class Index(Section):
    """Where vectors are kept."""

    kind: Literal["local", "redis-vectors", "redis-search", "qdrant", "milvus", "pgvector"] = Field(
        default="local",
        description="Which: in this process and on its disk, or an engine that replicas share: "
        "Redis 8 vector sets (redis-vectors) or the query engine of Redis and Valkey "
        "(redis-search), both in the Redis of `l2_redis`; Qdrant; Milvus (extra `milvus`); "
        "PostgreSQL with pgvector (extra `pgvector`).",
    )
    url: SecretStr | None = Field(
        default=None,
        description="Where, for Qdrant, Milvus and pgvector.",
        examples=["http://127.0.0.1:6333"],
    )
    url_file: SecretInFile | None = Field(default=None, description="A file to read `url` from.")
    api_key: HeaderSecret | None = Field(
        default=None, description="The key or token for Qdrant or Milvus; null: none."
    )
    api_key_file: SecretInFile | None = Field(
        default=None, description="A file to read `api_key` from."
    )
    allow_insecure: bool = Field(
        default=False,
        description="Whether a key may be sent to a Qdrant that is not on this machine without "
        "TLS.",
    )
    prefix: Prefix = Field(
        default="sidecache_",
        description="What the names of collections and tables begin with, in Qdrant, Milvus and "
        "pgvector (there, at most 30).",
    )
    timeout_s: SomeSeconds = Field(
        default=0.05, description="How long a search may take; later is a miss."
    )
    max_rows: SomeCount = Field(default=1_000_000, description="For local: the most vectors.")
    dtype: Literal["f32", "f16", "i8"] = Field(
        default="i8",
        description="For local: as what the numbers of a vector are kept: 4, 2 or 1 byte each. "
        "With one, similarities are off by 0.0003 on average and 0.002 at most.",
    )
    exact_up_to: SomeCount = Field(
        default=20_000,
        description="For local: up to how many vectors of one namespace are all compared; above "
        "it, lists of near ones help to find nearly all of the nearest.",
    )

    @property
    def address(self) -> str | None:
        """The URL, wherever it was given. May hold a password!"""
        held = self.url_file.secret if self.url_file else self.url
        return held.get_secret_value() if held else None

    @property
    def secret(self) -> str | None:
        """The key, wherever it was given."""
        held = self.api_key_file.secret if self.api_key_file else self.api_key
        return held.get_secret_value() if held else None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for name in ("url", "api_key"):
            if getattr(self, name) and getattr(self, f"{name}_file"):
                raise conflict(f"cannot be given beside `{name}`", f"{name}_file", name)
        if self.kind in {"qdrant", "milvus", "pgvector"} and self.address is None:
            raise conflict(f"{self.kind} needs a `url`", "kind", "url")
        return self


class Vetoes(Section):
    """What speaks against a candidate, however similar its question is."""

    disabled: tuple[Veto, ...] = Field(
        default=(), description="Built-in vetoes that do not count.", examples=[["entities"]]
    )
    words: tuple[tuple[Phrase, ...], ...] = Field(
        default=(),
        description="Groups of words: of each group, two questions must have the same ones.",
        examples=[[["gold", "silver", "platinum"], ["iOS", "Android"]]],
    )

    @property
    def doubts(self) -> frozenset[Doubt]:
        """The vetoes that are off."""
        return frozenset(
            Doubt.LENGTH if name == "length" else Doubt(f"{_VETO}{name}") for name in self.disabled
        )


class Shadow(Section):
    """Hits that are asked again in secret, to find out how many are wrong."""

    enabled: bool = Field(
        default=True,
        description="Whether any are. Without them, only what misses and what callers say tells.",
    )
    per_minute: Count = Field(default=30, description="Calls to the backend for it, at most.")


class Semantic(Section):
    """Answers to questions asked in other words, within an error budget."""

    enabled: bool = Field(default=False, description="Whether there are any.")
    canonical: bool = Field(
        default=True,
        description="Whether questions count as equal that differ in case, politeness, "
        "contractions and the like. Needs no model.",
    )
    typos: bool = Field(
        default=True,
        description="Whether a slip of the keyboard is overlooked. Needs no model.",
    )
    error_budget: Annotated[float, Field(gt=0, le=0.5), Accepts("a number above 0, up to 0.5")] = (
        Field(
            default=0.02,
            description="The share of wrong answers among hits by meaning that is not to be "
            "exceeded. It is measured all the time; the threshold follows.",
        )
    )
    threshold: Similarity = Field(
        default=0.90,
        description="How similar a question must be as long as little is measured: the cosine of "
        "the vectors. It belongs to a model; `sidecache calibrate` finds one.",
    )
    least_threshold: Similarity = Field(
        default=0.75, description="How far down measuring may take the threshold."
    )
    volatile: bool = Field(
        default=False, description="Whether questions about now are answered by meaning too."
    )
    embedder: Embedder = Field(
        default_factory=Embedder, description="The model that turns questions into vectors."
    )
    index: Index = Field(default_factory=Index, description="Where vectors are kept.")
    vetoes: Vetoes = Field(
        default_factory=Vetoes,
        description="What speaks against a candidate, however similar its question is.",
    )
    shadow: Shadow = Field(
        default_factory=Shadow,
        description="Hits that are asked again in secret, to find out how many are wrong.",
    )
    scope_share: Share = Field(
        default=0.5,
        description="For a local index that is full: a scope with more than this share of it loses "
        "its rows first.",
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.least_threshold > self.threshold:
            raise conflict("must not be more than `threshold`", "least_threshold", "threshold")
        return self
