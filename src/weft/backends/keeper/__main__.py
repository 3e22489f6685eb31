"""The start of the keeper: `python -I -S __main__.py FD ENGINE_PID TOKEN LOCK`.

Isolated from the environment (`-I`) and without site-packages (`-S`) it finds neither Weft nor the files beside this
one; so their folder becomes a package by itself.
"""

import sys

__package__ = "weft_keeper"
package = sys.modules[__package__] = type(sys)(__package__)
package.__path__ = [__file__.rpartition("/")[0]]

from .program import main  # noqa: E402 - the package is made above

main()
