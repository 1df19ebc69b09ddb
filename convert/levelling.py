"""The bias of a network's last layer, moved so that rounding leaves its answers right on average.

Rounding to eight bits scatters a classifier's logits and shifts them all the same way. The scatter stays; the shift is
measured on the calibration set and taken back where it comes out. That is bias correction (Nagel et al., Data-Free
Quantization, ICCV 2019, sec. 4.2) of one layer only: of every layer it made good networks worse.

The files are changed where those few numbers stand; everything else in them stays as the libraries wrote it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonedge.edge.records import Pixels

from .export import serialize

_INT32 = (np.iinfo(np.int32).min, np.iinfo(np.int32).max)


def level_tflite(file: bytes, shift: Pixels) -> bytes:
    """A .tflite whose answers are `shift` higher; unchanged when no fully connected layer with a bias makes them.

    Args:
        file: with one output, float32 "1 n".
        shift: float32 "n", what is to be added to the output.
    """
    from ai_edge_litert import schema_py_generated as schema

    changed = bytearray(file)
    model = schema.Model.GetRootAs(changed, 0)
    graph = model.Subgraphs(0)
    makers = {
        operator.Outputs(place): operator
        for operator in (graph.Operators(number) for number in range(graph.OperatorsLength()))
        for place in range(operator.OutputsLength())
    }
    last = makers.get(graph.Outputs(0))
    if last is not None and _kind(model, last) == schema.BuiltinOperator.DEQUANTIZE:
        last = makers.get(last.Inputs(0))
    if last is None or _kind(model, last) != schema.BuiltinOperator.FULLY_CONNECTED:
        return file
    if last.InputsLength() < 3 or last.Inputs(2) < 0:  # a bias of zeros is left out
        return file
    bias = graph.Tensors(last.Inputs(2))
    users = [number for number in range(graph.TensorsLength()) if graph.Tensors(number).Buffer() == bias.Buffer()]
    if bias.ShapeAsNumpy().tolist() != [shift.size] or len(users) > 1:
        return file
    # Views into `changed`: what is written here is written there.
    stored = model.Buffers(bias.Buffer()).DataAsNumpy()
    if bias.Type() == schema.TensorType.FLOAT32:
        values: NDArray[np.float32] = stored.view("<f4")
        values += shift
    elif bias.Type() == schema.TensorType.INT32:
        steps: NDArray[np.int32] = stored.view("<i4")
        raised = steps + np.rint(shift / bias.Quantization().ScaleAsNumpy())
        steps[:] = np.clip(raised, *_INT32)
    return bytes(changed)


def level_openvino(xml: bytes, weights: bytes, shift: Pixels) -> tuple[bytes, bytes]:
    """The same for OpenVINO's two files, whose bias is added in float."""
    import openvino

    model = openvino.Core().read_model(xml, weights)
    last = model.outputs[0].get_node().input_value(0).get_node()
    port = _constant(last) if last.get_type_name() == "Add" else None
    if port is None or port.get_source_output().get_node().get_data().size != shift.size:
        return xml, weights
    values = port.get_source_output().get_node().get_data()
    raised = openvino.op.Constant(np.asarray(values + shift.reshape(values.shape), np.float32))
    port.replace_source_output(raised.output(0))
    return serialize(model)


def _kind(model: Any, operator: Any) -> int:
    code = model.OperatorCodes(operator.OpcodeIndex())
    return int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))


def _constant(add: Any) -> Any:
    """The input of `add` that a constant stands at."""
    kinds = [(port, port.get_source_output().get_node().get_type_name()) for port in add.inputs()]
    return next((port for port, kind in kinds if kind == "Constant"), None)
