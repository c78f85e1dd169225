"""The decision about blanks in JSON for the wrapped engines: never so many that a model can loop on them.

Serving engines let a grammar engine put any amount of white space wherever JSON allows it, and small models then loop
on newlines until they run out of tokens. Forbidding blanks altogether makes a model that has learned ``{"a": 1}`` write
tokens it finds unlikely. So each engine gets the freest layout that it can bound:

* xgrammar: up to ``MAX_WHITESPACE`` blanks wherever JSON allows them, enough for a pretty-printed document nine levels
  deep at an indent of two;
* llguidance: one optional space after a comma and a colon. Its own blanks repeat without end whatever their pattern
  says, but its separators are patterns too. Keys are then forced as soon as a bracket is open.

No blanks before or after the document.
"""

MAX_WHITESPACE = 20
ITEM_SEPARATOR = ", ?"
KEY_SEPARATOR = ": ?"
