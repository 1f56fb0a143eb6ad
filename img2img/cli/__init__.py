"""What a person types. `main` is the entry point of the installed command; everything else is imported when needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line `args` (default: the process's own) and return its exit status; say what went wrong.

    One line on stderr for an error; `--debug`, anywhere on the line, adds the traceback.
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
    except BrokenPipeError:  # the reader of our output has gone, as in `img2img models | head -1`
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
