"""Unpickles torch's .pth files as data: nothing that they name is imported, called or created.

A .pth file is a program for Python's unpickler. Here every name that it may use stands for something harmless in
`pickled_values`.

Reading takes time and memory in proportion to the file: the steps of the program are limited, no step copies or hashes
more than it reads, and keys are texts and integers. So every file ends, and Ctrl-C works between two steps.
"""

import pickle
import struct
from collections.abc import Callable
from typing import Any, ClassVar

import torch

from img2img.errors import CheckpointError
from img2img.exchange.importers.pickled_values import ALLOWED, IGNORED, Placeholder, Record, Storage
from img2img.exchange.listing import shortened

MAX_STEPS = 2_000_000
"""The most steps of the unpickler in one file: some seconds, and some hundred MB. A tensor takes about 40."""


class Refused(CheckpointError):
    """The pickle needs something that weights never need, so it is not opened."""


class _Steps(dict[int, Callable[[Any], None]]):
    """The unpickler's table of steps. Looking up a step counts it."""

    def __init__(self, steps: dict[int, Callable[[Any], None]]) -> None:
        super().__init__(steps)
        self.left = MAX_STEPS

    def __getitem__(self, step: int) -> Callable[[Any], None]:
        self.count(1)
        return super().__getitem__(step)

    def count(self, steps: int) -> None:
        """Raises CheckpointError after more than `MAX_STEPS` steps."""
        self.left -= steps
        if self.left < 0:
            raise CheckpointError("is not a weights file: its list of tensors takes too many steps to read")


class Reader(pickle._Unpickler):
    """An unpickler that knows only the names in `ALLOWED` and `IGNORED`, and imports none of them.

    Based on the unpickler in Python: the one in C allocates memory for as many objects as a file claims to have.
    """

    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.dispatch = self.steps = _Steps(type(self).dispatch)  # type: ignore[misc]

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in ALLOWED:
            return ALLOWED[full]
        if any(full.startswith(one) if one.endswith(".") else full == one for one in IGNORED):
            return Placeholder
        raise Refused(
            f"holds more than weights: the Python object {shortened(full)}. It is not opened, because this could run"
            " any program (if this is your own model, save its state_dict())"
        )

    def get_extension(self, code: int) -> None:
        raise Refused("holds more than weights (a registered extension), so it is not opened")

    def persistent_load(self, pid: Any) -> Storage:
        if not isinstance(pid, tuple) or not 5 <= len(pid) <= 6 or pid[0] != "storage":
            raise Refused("holds a whole module with its source code instead of weights, so it is not opened")
        _, dtype, key, _, numel, *view = pid
        is_known = isinstance(dtype, torch.dtype) and isinstance(key, str | int) and isinstance(numel, int)
        if not is_known or not 0 <= numel < 2**48 or any(one is not None for one in view):
            raise CheckpointError("holds a storage of an unknown type")
        return Storage(dtype, str(key), numel)

    def load_build(self) -> None:
        # The original could change a tensor description after its check. Nothing allowed here needs a state.
        self.stack.pop()
        if not isinstance(self.stack[-1], Record | Placeholder):
            raise CheckpointError("gives a state to an object that has none")

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._called(self.stack[-1], arguments)

    def load_newobj(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        self.append(self._called(kind, arguments))

    def load_newobj_ex(self) -> None:
        del self.stack[-1]  # named arguments, which only placeholders may have
        self.load_newobj()

    def _instantiate(self, kind: Any, arguments: list[Any]) -> None:  # for the steps OBJ and INST
        self.append(self._called(kind, arguments))

    def _called(self, function: Any, arguments: Any) -> Any:
        # A step may pass a large list again and again, so its length counts.
        self.steps.count(sum(len(one) for one in (arguments, *arguments) if isinstance(one, list | tuple | dict)))
        return function(*arguments)

    def load_empty_dict(self) -> None:
        self.append(Record())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append(Record(list(zip(items[::2], items[1::2], strict=True))))

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _entries(self.stack[-1])[key] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        entries = _entries(self.stack[-1])
        for key, value in zip(items[::2], items[1::2], strict=True):
            entries[key] = value

    def load_empty_set(self) -> None:
        self.append(Placeholder())  # weights need no sets, and hashing their members may take forever

    def load_frozenset(self) -> None:
        self.pop_mark()
        self.append(Placeholder())

    def load_bytearray8(self) -> None:
        # The original allocates the claimed length first.
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(length))

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: load_build,
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_newobj,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.EMPTY_DICT[0]: load_empty_dict,
        pickle.DICT[0]: load_dict,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.EMPTY_SET[0]: load_empty_set,
        pickle.FROZENSET[0]: load_frozenset,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }


def _entries(target: Any) -> Record | Placeholder:
    """`target`, if entries can be added to it. Raises CheckpointError."""
    if not isinstance(target, Record | Placeholder):
        raise CheckpointError("adds entries to something that is no dictionary")
    return target
