"""The grammar factory ``listed_answer``: the answer is one of the lines of the prompt that begin with a bullet."""

from __future__ import annotations

from pydantic import Field

from latticework.plugins.base import PluginOptions
from latticework.plugins.inputs import InputGrammar, RequestInput
from latticework.structured import GrammarSpec
from latticework.structured.errors import LatticeworkError


class ListedAnswerOptions(PluginOptions):
    """``lw_grammar_*`` of ``listed_answer``."""

    bullet: str = Field(default="- ", min_length=1, max_length=8, description="what a line with an answer begins with")
    most: int = Field(default=100, ge=1, le=1000, description="most answers a prompt may list")


class ListedAnswer:
    """A function from the input to a constraint, without any state."""

    def __init__(self, options: ListedAnswerOptions) -> None:
        self._options = options

    def grammar(self, request: RequestInput) -> GrammarSpec:
        """The constraint of one request. A ``LatticeworkError`` is the client's 400; its field names the option."""
        bullet, most = self._options.bullet, self._options.most
        lines = [line.strip() for line in request.prompt.splitlines()]
        answers = [line.removeprefix(bullet).strip() for line in lines if line.startswith(bullet)]
        if not 1 <= len(answers) <= most:
            raise LatticeworkError("bullet", f"begins {len(answers)} lines of the prompt, must begin 1 to {most}")
        return GrammarSpec.choice(list(dict.fromkeys(answers)))


class ListedAnswerPlugin:
    """What the entry point names."""

    name = "listed_answer"
    summary = "one of the answers that the prompt lists"
    options = ListedAnswerOptions

    def create(self, options: ListedAnswerOptions) -> InputGrammar:
        """See ``latticework.plugins.base.Factory``."""
        return ListedAnswer(options)
