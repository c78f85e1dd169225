"""The one decision about blanks in JSON that the wrapped engines share.

Serving engines let a grammar engine put any amount of white space wherever JSON allows it, and small models then loop
on newlines until they run out of tokens. Forbidding blanks altogether makes a model that has learned ``{"a": 1}`` write
tokens it finds unlikely. So blanks stay free, up to a bound: enough for a pretty-printed document nine levels deep at
an indent of two, and too few to loop on. No blanks before or after the document.
"""

MAX_WHITESPACE = 20
