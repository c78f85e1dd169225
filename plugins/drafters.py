"""The drafters that come with the package."""

from __future__ import annotations

from pydantic import Field, model_validator

from latticework.plugins.base import KEPT, PluginOptions
from latticework.speculative.combine import CascadeDrafter
from latticework.speculative.drafter import Drafter
from latticework.speculative.fusion import FusionDrafter
from latticework.speculative.grammar_drafter import GrammarDrafter
from latticework.speculative.guided_drafter import GuidedDrafter
from latticework.speculative.jacobi import JacobiDrafter
from latticework.speculative.ngram_pool import NgramPoolDrafter
from latticework.speculative.ngram_trie import NgramTrieDrafter
from latticework.speculative.prompt_lookup import PromptLookupDrafter
from latticework.speculative.suffix_drafter import SuffixDrafter
from latticework.speculative.token_recycling import Growth, TokenRecyclingDrafter
from latticework.speculative.trigram_drafter import TrigramDrafter


class PromptLookupOptions(PluginOptions):
    """``lw_drafter_*`` of ``prompt_lookup``."""

    min_match: int = Field(default=2, ge=1, le=64, description="shortest repeated text that counts, in tokens")
    max_match: int = Field(default=8, ge=1, le=64, description="longest repeated text looked for, in tokens")
    window: int = Field(default=32768, ge=16, le=1_048_576, description="how many of the last tokens are searched")

    @model_validator(mode="after")
    def _ordered(self) -> PromptLookupOptions:
        if self.min_match > self.max_match:
            raise ValueError(f"min_match ({self.min_match}) must not exceed max_match ({self.max_match})")
        return self


class PromptLookupPlugin:
    """See :mod:`latticework.speculative.prompt_lookup`."""

    name = "prompt_lookup"
    summary = "what followed the last time the text ended like this"
    options = PromptLookupOptions

    def create(self, options: PromptLookupOptions) -> Drafter:
        """See :meth:`Factory.create`."""
        return PromptLookupDrafter(options.min_match, options.max_match, options.window)


class GrammarPlugin:
    """See :mod:`latticework.speculative.grammar_drafter`."""

    name = "grammar"
    summary = "what the grammar leaves no choice about"
    options = PluginOptions

    def create(self, options: PluginOptions) -> Drafter:
        """See :meth:`Factory.create`."""
        return GrammarDrafter()


class AutoPlugin:
    """The default: forced text, then prompt lookup, then forced text again, all within the grammar."""

    name = "auto"
    summary = "forced text first, then prompt lookup"
    options = PromptLookupOptions

    def create(self, options: PromptLookupOptions) -> Drafter:
        """See :meth:`Factory.create`."""
        return CascadeDrafter(PromptLookupDrafter(options.min_match, options.max_match, options.window))


class FusionOptions(PluginOptions):
    """``lw_drafter_*`` of ``fusion``."""

    own_rows: int = Field(
        default=1 << 16,
        ge=1 << 10,
        le=1 << 20,
        description="most contexts kept of one request (49 bytes each)",
        json_schema_extra=KEPT,
    )
    shared_rows: int = Field(
        default=1 << 18,
        ge=1 << 10,
        le=1 << 22,
        description="contexts kept of a scope's earlier answers (49 bytes each)",
        json_schema_extra=KEPT,
    )


class FusionPlugin:
    """See :mod:`latticework.speculative.fusion`."""

    name = "fusion"
    summary = "one tree of the request's text, earlier answers and the target's own alternatives"
    options = FusionOptions

    def create(self, options: FusionOptions) -> Drafter:
        """See :meth:`Factory.create`."""
        return CascadeDrafter(FusionDrafter(options.own_rows, options.shared_rows))


class SuffixOptions(PluginOptions):
    """``lw_drafter_*`` of ``suffix``."""

    shortest: int = Field(default=2, ge=1, le=64, description="shortest repeated text that is followed, in tokens")
    finished_tokens: int = Field(
        default=1 << 18,
        ge=1,
        le=1 << 22,
        description="tokens of finished answers kept before a scope starts afresh",
        json_schema_extra=KEPT,
    )


class SuffixPlugin:
    """See :mod:`latticework.speculative.suffix_drafter`."""

    name = "suffix"
    summary = "what followed the longest match, in the request's text or in earlier answers"
    options = SuffixOptions

    def create(self, options: SuffixOptions) -> Drafter:
        """See :meth:`Factory.create`."""
        return SuffixDrafter(options.shortest, finished_tokens=options.finished_tokens)


class TokenRecyclingOptions(PluginOptions):
    """``lw_drafter_*`` of ``token_recycling``."""

    tokens: int = Field(
        default=1 << 16,
        ge=1,
        le=1 << 20,
        description="how many tokens' likeliest successors are kept",
        json_schema_extra=KEPT,
    )
    growth: Growth = Field(
        default=Growth.BEST_FIRST, description="the tree: grown best_first, or of the published template's shape"
    )


class TokenRecyclingPlugin:
    """See :mod:`latticework.speculative.token_recycling`."""

    name = "token_recycling"
    summary = "what the target held likely after the same token; needs an engine that shows it"
    options = TokenRecyclingOptions

    def create(self, options: TokenRecyclingOptions) -> Drafter:
        """See :meth:`Factory.create`."""
        return CascadeDrafter(TokenRecyclingDrafter(options.tokens, options.growth))


class NgramPoolOptions(PluginOptions):
    """``lw_drafter_*`` of ``ngram_pool``."""

    length: int = Field(default=6, ge=1, le=32, description="tokens of an n-gram after its first")
    grams: int = Field(
        default=7, ge=1, le=64, description="n-grams kept for each first token", json_schema_extra=KEPT
    )


class NgramPoolPlugin:
    """See :mod:`latticework.speculative.ngram_pool`."""

    name = "ngram_pool"
    summary = "the n-grams that followed the last token most recently (Lookahead's pool)"
    options = NgramPoolOptions

    def create(self, options: NgramPoolOptions) -> Drafter:
        """See :meth:`Factory.create`."""
        return CascadeDrafter(NgramPoolDrafter(options.length, options.grams))


class TrigramOptions(PluginOptions):
    """``lw_drafter_*`` of ``trigram``."""

    iterations: int = Field(default=150, ge=1, le=2000, description="lines that the search tries before each draft")
    rows: int = Field(
        default=1 << 16,
        ge=1 << 8,
        le=1 << 20,
        description="pairs of tokens a scope keeps (120 bytes each)",
        json_schema_extra=KEPT,
    )
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="of the search")


class TrigramPlugin:
    """See :mod:`latticework.speculative.trigram_drafter`."""

    name = "trigram"
    summary = "a tree search over which token followed which two (ADED)"
    options = TrigramOptions

    def create(self, options: TrigramOptions) -> Drafter:
        """See :meth:`Factory.create`."""
        return CascadeDrafter(TrigramDrafter(options.iterations, options.rows, seed=options.seed))


class NgramTrieOptions(PluginOptions):
    """``lw_drafter_*`` of ``ngram_trie``."""

    depth: int = Field(default=12, ge=2, le=32, description="longest n-gram kept, in tokens")
    broadest: int = Field(
        default=8, ge=1, le=8, description="how many continuations of the last token alone are drafted"
    )


class NgramTriePlugin:
    """See :mod:`latticework.speculative.ngram_trie`."""

    name = "ngram_trie"
    summary = "the continuations of every end of the text, the longest first (SGLang's trie, prompt included)"
    options = NgramTrieOptions

    def create(self, options: NgramTrieOptions) -> Drafter:
        """See :meth:`Factory.create`."""
        return CascadeDrafter(NgramTrieDrafter(options.depth, options.broadest))


class GuidedOptions(PluginOptions):
    """``lw_drafter_*`` of ``guided``."""

    places: int = Field(
        default=1 << 14,
        ge=1 << 8,
        le=1 << 20,
        description="places of documents that a scope remembers answers to",
        json_schema_extra=KEPT,
    )


class GuidedPlugin:
    """See :mod:`latticework.speculative.guided_drafter`."""

    name = "guided"
    summary = "forced text, what the schema and earlier answers to it suggest, and the tree of fusion, as one tree"
    options = GuidedOptions

    def create(self, options: GuidedOptions) -> Drafter:
        """See :meth:`Factory.create`."""
        return GuidedDrafter(FusionDrafter(), options.places)


class JacobiOptions(PluginOptions):
    """``lw_drafter_*`` of ``jacobi``."""

    window: int = Field(default=8, ge=1, le=64, description="tokens of the window that is read in one pass")
    block: int = Field(
        default=0,
        ge=0,
        le=64,
        description="windows end with a block of so many output tokens (Gauss-Seidel); 0: they slide",
    )
    fill: bool = Field(default=True, description="whether an n-gram pool fills what the predictions leave open")


class JacobiPlugin:
    """See :mod:`latticework.speculative.jacobi`."""

    name = "jacobi"
    summary = "the target's own predictions behind a wrong guess (Jacobi); needs an engine that shows them"
    options = JacobiOptions

    def create(self, options: JacobiOptions) -> Drafter:
        """See :meth:`Factory.create`."""
        filler = NgramPoolDrafter() if options.fill else None
        return CascadeDrafter(JacobiDrafter(options.window, options.block, filler))
