"""The drafters that come with the package."""

from __future__ import annotations

from pydantic import Field, model_validator

from latticework.plugins.base import PluginOptions
from latticework.speculative.combine import CascadeDrafter
from latticework.speculative.drafter import Drafter
from latticework.speculative.grammar_drafter import GrammarDrafter
from latticework.speculative.prompt_lookup import PromptLookupDrafter


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
