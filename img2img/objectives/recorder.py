"""What happens inside a discriminator while it is called, written down layer by layer."""

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


class Recorder:
    """Records the activations of a network, with their graph, by forward hooks.

    As a context manager it gives a list that holds, once the block is left, the activations of every call of the
    network in it; called in the network's place, it returns the network's result and the activations:

        with Recorder(discriminator) as features:
            scores = discriminator(picture)
        scores, features = Recorder(discriminator)(picture)

    Args:
        network: any discriminator, also of several scales, and also wrapped for distribution. Hooks do not run in
            compiled code: of a compiled network the original is recorded, so call that, or the recorder.
        layers: names of its submodules, as `named_modules` has them, recorded in the order in which they run. None
            given: the outputs of all activation modules that run before the last layer with weights (convolution or
            linear); where there are no such modules, because the network's activations are functions, the outputs of
            all layers with weights but the last. The scores themselves are never recorded then.

    Raises:
        ConfigError: the network has no such layer; the message lists those that it has.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str] = ()) -> None:
        self.network: nn.Module = getattr(network, "_orig_mod", network)
        self.layers = tuple(layers)
        inner = self.network
        while isinstance(inner, DistributedDataParallel) or hasattr(inner, "_orig_mod"):
            inner = inner.module if isinstance(inner, DistributedDataParallel) else inner._orig_mod
        self._inner = inner
        self._watched = self._named() if layers else self._default()
        self._handles: list[RemovableHandle] = []
        self._features: list[Tensor] = []
        self._seen: list[tuple[nn.Module, Tensor]] = []

    def __call__(self, *inputs: Any, **named: Any) -> tuple[Any, list[Tensor]]:
        """The network's result, and the activations on the way there."""
        with self as features:
            result = self.network(*inputs, **named)
        return result, features

    def __enter__(self) -> list[Tensor]:
        self._features = []
        self._handles = [module.register_forward_hook(self._note) for module in self._watched]
        self._handles.append(self._inner.register_forward_pre_hook(self._begin))
        self._handles.append(self._inner.register_forward_hook(self._finish))
        return self._features

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._features, self._seen = [], [], []

    def _named(self) -> list[nn.Module]:
        modules = dict(self._inner.named_modules())
        for layer in self.layers:
            if layer not in modules or not layer:
                there = ", ".join(name for name in modules if name)
                raise ConfigError(f"the discriminator has no layer '{layer}' for feature matching; there are {there}")
        return [modules[layer] for layer in self.layers]

    def _default(self) -> list[nn.Module]:
        return [module for module in self._inner.modules() if isinstance(module, (*ACTIVATIONS, *WEIGHTED))]

    def _begin(self, module: nn.Module, inputs: Any) -> None:
        self._seen = []

    def _note(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise ConfigError(f"layer {type(module).__name__} gives no tensor, its features cannot be matched")
        self._seen.append((module, output))

    def _finish(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._features += [tensor for _, tensor in self._seen] if self.layers else self._chosen(output)
        self._seen = []

    def _chosen(self, output: Any) -> list[Tensor]:
        last = max((i for i, (module, _) in enumerate(self._seen) if isinstance(module, WEIGHTED)), default=0)
        before = self._seen[:last]
        activations = [tensor for module, tensor in before if isinstance(module, ACTIVATIONS)]
        found = activations or [tensor for _, tensor in before]
        scores = {tensor.untyped_storage().data_ptr() for tensor in _tensors(output)}
        return [tensor for tensor in found if tensor.untyped_storage().data_ptr() not in scores]


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, dict):
        output = list(output.values())
    return [tensor for part in output for tensor in _tensors(part)] if isinstance(output, (list, tuple)) else []
