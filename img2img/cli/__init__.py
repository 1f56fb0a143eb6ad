"""The command line. `main` is the entry point of the installed command; it imports everything else when needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line `args` (default: those of the process) and return the exit status.

    Errors print one line on stderr; `--debug`, anywhere on the line, adds the traceback.
    """
    from img2img.cli import app, console
    from img2img.errors import ExitStatus, Img2ImgError

    words = list(sys.argv[1:] if args is None else args)
    words, console.debug = app.without_debug(words)
    try:
        with console.signals():
            status = app.run(words)
            sys.stdout.flush()
    except KeyboardInterrupt:
        console.say("interrupted")
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:  # nobody reads our output any more, as in `img2img models | head -1`
        console.forget_stdout()
        return ExitStatus.SOME_FAILED
    except Img2ImgError as error:
        console.error(str(error), error)
        return error.status
    except Exception as error:
        text = " ".join(str(error).split())
        console.error(f"{type(error).__name__}: {text}" if text else type(error).__name__, error)
        if not console.debug:
            console.say("this is a bug in img2img; run again with --debug for the traceback")
        return ExitStatus.SOME_FAILED
    return status
