"""The start of the keeper: `python -I -S __main__.py FD ENGINE_PID TOKEN LOCK`.

Isolated from the environment (`-I`) and without site-packages (`-S`) it finds neither Weft nor the files beside this
one; so their folder becomes a package by itself.
"""

import sys

package = sys.modules["weft_keeper"] = type(sys)("weft_keeper")
package.__path__ = [__file__.rpartition("/")[0]]

from weft_keeper.program import main  # type: ignore[import-not-found]  # noqa: E402 - the package is made above

main()
