"""The start of a worker: `python __main__.py FD`.

The interpreter need not know Weft, and the user's code may import what it likes; so the folder of this file becomes a
package by itself, under a name that nobody else has.
"""

import sys

if sys.version_info < (3, 8):  # noqa: UP036 - the interpreter is the user's choice
    sys.exit(f"Weft's workers need Python 3.8 or later, this is {sys.version.split()[0]}")

package = sys.modules["weft_worker"] = type(sys)("weft_worker")
package.__path__ = [__file__.rpartition("/")[0]]

from weft_worker.program import main  # type: ignore[import-not-found]  # noqa: E402 - the package is made above

main()
