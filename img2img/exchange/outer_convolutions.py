"""Find the convolutions that touch the picture itself: the first after the inputs and the last before the results."""

import onnx

CONVOLUTIONS = ("Conv", "ConvTranspose")


def outer_convolutions(graph: onnx.GraphProto) -> set[str]:
    """Names of the first convolutions after the inputs and of the last convolutions before the results."""
    return _first_convolutions(graph) | _last_convolutions(graph)


def _first_convolutions(graph: onnx.GraphProto) -> set[str]:
    # A latent code is no picture: the features that it modulates may be quantised.
    inputs = {one.name for one in graph.input if one.name != "latent"}
    behind: dict[str, bool] = {}  # tensor -> a convolution lies between it and every input

    def is_behind(tensor: str) -> bool:
        return behind.get(tensor, tensor not in inputs)

    first = set()
    for node in graph.node:  # in topological order
        is_convolution = node.op_type in CONVOLUTIONS
        if is_convolution and not is_behind(node.input[0]):
            first.add(node.name)
        is_result_behind = is_convolution or all(is_behind(tensor) for tensor in node.input)
        behind.update(dict.fromkeys(node.output, is_result_behind))
    return first


def _last_convolutions(graph: onnx.GraphProto) -> set[str]:
    producers = {output: node for node in graph.node for output in node.output}
    last, seen = set(), set()
    pending = [one.name for one in graph.output]
    while pending:
        node = producers.get(pending.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op_type in CONVOLUTIONS:
            last.add(node.name)
        else:
            pending += node.input
    return last
