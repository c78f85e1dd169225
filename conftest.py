"""Settings of every test: property tests are judged by what they find, not by how long an example takes.

Their examples are the same in every run, so that a change is judged by what it changed; ``LATTICEWORK_EXPLORE=1`` tries
others, which is how to look for what no example has shown yet.
"""

import os

from hypothesis import settings

settings.register_profile("latticework", deadline=None, derandomize="LATTICEWORK_EXPLORE" not in os.environ)
settings.load_profile("latticework")
