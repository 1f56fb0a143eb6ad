"""Records the activations of a network, layer by layer."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parallel import DistributedDataParallel
from torch.utils.hooks import RemovableHandle

from img2img.errors import ConfigError

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Tanh)
WEIGHTED = (_ConvNd, nn.Linear)

MOST_NAMES = 20
"""Layers that an error names."""


class Recorder:
    """Records the activations of a network, with their graph, by forward hooks.

    As a context manager it returns a list. After the block, the list holds the activations of every call of the network
    inside it. Called instead of the network, it returns the network's result and the activations:

        with Recorder(discriminator) as features:
            scores = discriminator(picture)
        scores, features = Recorder(discriminator)(picture)

    `encode` stops the network after the last of `layers`.

    Args:
        network: any discriminator, also multi-scale or wrapped for distribution. Hooks do not run in compiled code; for
            a compiled network, the recorder hooks the original, so call the original or the recorder.
        layers: names of submodules, as in `named_modules`, recorded in the order in which they run. By default, records
            the outputs of all activation modules that run before the last layer with weights (convolution or linear). A
            network whose activations are functions has no such modules; then it records the outputs of all layers with
            weights except the last. The default never records the scores themselves.

    Attributes:
        modules: the layer of each activation of the last block, in the same order.

    Raises:
        ConfigError: the network has no such layer; the message lists its layers.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str] = ()) -> None:
        self.network: nn.Module = getattr(network, "_orig_mod", network)
        self.layers = tuple(layers)
        inner = self.network
        while isinstance(inner, DistributedDataParallel) or hasattr(inner, "_orig_mod"):
            inner = inner.module if isinstance(inner, DistributedDataParallel) else inner._orig_mod
        self._inner = inner
        self._watched = self._named_modules() if layers else self._default_modules()
        self.modules: list[nn.Module] = []
        self._handles: list[RemovableHandle] = []
        self._features: list[Tensor] = []
        self._recorded: list[tuple[nn.Module, Tensor]] = []
        self._stops = False

    def __call__(self, *inputs: Any, **named: Any) -> tuple[Any, list[Tensor]]:
        """Return the network's result and the activations on the way to it."""
        with self as features:
            result = self.network(*inputs, **named)
        return result, features

    def encode(self, *inputs: Any) -> list[Tensor]:
        """Return the activations of `layers` only. What the network would compute after the last of them is left out.

        `layers` must be given in the order in which they run, and each runs once.
        """
        self._stops = True
        try:
            with self:
                self.network(*inputs)
        except _AllRecorded as recorded:
            return recorded.features
        finally:
            self._stops = False
        raise ConfigError("a layer whose features are compared did not run")

    def __enter__(self) -> list[Tensor]:
        self._features, self.modules = [], []
        self._handles = [module.register_forward_hook(self._record) for module in self._watched]
        self._handles.append(self._inner.register_forward_pre_hook(self._start))
        self._handles.append(self._inner.register_forward_hook(self._finish))
        return self._features

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._features, self._recorded = [], [], []

    def _named_modules(self) -> list[nn.Module]:
        modules = dict(self._inner.named_modules())
        for layer in self.layers:
            if layer not in modules or not layer:
                names = [name for name in modules if name]
                listed = ", ".join(names[:MOST_NAMES])
                more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
                raise ConfigError(
                    f"layer '{layer}', whose features are to be compared, does not exist; choose from {listed}{more}"
                )
        return [modules[layer] for layer in self.layers]

    def _default_modules(self) -> list[nn.Module]:
        return [module for module in self._inner.modules() if isinstance(module, (*ACTIVATIONS, *WEIGHTED))]

    def _start(self, module: nn.Module, inputs: Any) -> None:
        self._recorded = []

    def _record(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise ConfigError(f"layer {type(module).__name__} does not return a tensor; it cannot be recorded")
        self._recorded.append((module, output))
        if self._stops and len(self._recorded) == len(self._watched):
            raise _AllRecorded([tensor for _, tensor in self._recorded])

    def _finish(self, module: nn.Module, inputs: Any, output: Any) -> None:
        chosen = self._recorded if self.layers else self._select(output)
        self.modules += [layer for layer, _ in chosen]
        self._features += [tensor for _, tensor in chosen]
        self._recorded = []

    def _select(self, output: Any) -> list[tuple[nn.Module, Tensor]]:
        last = max((i for i, (module, _) in enumerate(self._recorded) if isinstance(module, WEIGHTED)), default=0)
        before = self._recorded[:last]
        found = [(layer, tensor) for layer, tensor in before if isinstance(layer, ACTIVATIONS)] or before
        scores = {tensor.untyped_storage().data_ptr() for tensor in _tensors(output)}
        return [(layer, tensor) for layer, tensor in found if tensor.untyped_storage().data_ptr() not in scores]


class _AllRecorded(Exception):
    """Leaves the network as soon as all layers have been recorded."""

    def __init__(self, features: list[Tensor]) -> None:
        super().__init__()
        self.features = features


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, dict):
        output = list(output.values())
    return [tensor for part in output for tensor in _tensors(part)] if isinstance(output, (list, tuple)) else []
