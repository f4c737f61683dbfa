"""Keras weights without their configuration: the model around them, told by their names and shapes.

MobileNet V1 and V2 as ``keras.applications`` builds them are known by their layers' names, or in archives, which only
number the layers of each class, by how many there are. What else the file holds is the head: fully connected layers,
1×1 convolutions and batch norms, each where its size fits. What weights cannot tell is assumed, and said.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from mobilenets.architecture.networks.mobilenet_v1 import SHALLOW, TABLE_1
from mobilenets.errors import FormatError
from mobilenets.formats.keras.config import KerasCall, KerasConfiguration, KerasTensor, snake_case
from mobilenets.formats.keras.file import KerasFile
from mobilenets.model.model import Tensor

_V1_ROWS = {13: TABLE_1, 8: SHALLOW}
_V2_STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)
"""Of the 17 depthwise layers of MobileNet V2. Source: Sandler et al. 2018, arXiv:1801.04381, table 2."""
_DEPTHWISE = re.compile(r"conv_dw_\d+|(expanded_conv|block_\d+)_depthwise|depthwise_conv2d(_\d+)?")
_EPSILON = 1e-3
"""Of every batch norm of ``keras.applications``."""
_LARGEST_STRIDE = 32


@dataclass(frozen=True)
class _Group:
    """Variables of one layer.

    Attributes:
        path: Where they lie.
        variables: By their last name.
    """

    path: str
    variables: dict[str, Tensor]

    @property
    def place(self) -> str:
        """The path as archives place a layer."""
        return self.path.removesuffix("/vars")

    @property
    def name(self) -> str:
        """The layer's name, or class and number."""
        return self.place.rpartition("/")[2]

    @property
    def order(self) -> tuple[str, int]:
        """What layers of one class are sorted by."""
        name, _, number = self.name.rpartition("_")
        return (name, int(number)) if number.isdigit() else (self.name, 0)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of all variables."""
        return [value.shape for value in self.variables.values()]

    @property
    def kernel(self) -> tuple[int, ...] | None:
        """Shape of the kernel of a fully connected layer or a convolution; None of any other."""
        value = self.variables.get("kernel", self.variables.get("0"))
        return value.shape if value is not None and value.ndim in (2, 4) else None


class ImpliedModel:
    """The model that weights were saved from.

    Args:
        file: Variables without a configuration.
        size: Input (height, width), which tells a flattened map from a pool.

    Attributes:
        configuration: What its configuration would have been.
        channels: Of its image.
        assumed: What the weights do not say, in words.

    Raises:
        FormatError: If they are not those of MobileNet V1 or V2, with a head of one's own or without; the variable is
            named.
    """

    def __init__(self, file: KerasFile, size: tuple[int, int]) -> None:
        self._archived, self._size, self._layers = file.archived, size, file.layers
        self._groups = _grouped(file)
        self._taken: set[str] = set()
        self._count: Counter[str] = Counter()
        self.configuration = KerasConfiguration()
        self.assumed: list[str] = []
        depthwise = [group for group in self._groups if _DEPTHWISE.fullmatch(group.name)]
        self._root = self._root_of(depthwise)
        self._last = self._normalization(self.configuration.input)
        if len(depthwise) == len(_V2_STRIDES):
            self._mobilenet_v2()
        elif len(depthwise) in _V1_ROWS:
            self._mobilenet_v1(len(depthwise))
        else:
            raise FormatError(
                f"found {len(depthwise)} depthwise layers; MobileNet V1 has 13 (8 in its shallow form) and V2 has 17. "
                "Weights alone do not say what any other network is: save the whole model (model.save('model.keras'))"
            )
        stem = next(call for call in self.configuration.calls if call.kind == "Conv2D")
        kernel = file.of(stem).get("kernel", file.of(stem).get("0"))
        self.channels = kernel.value.shape[2] if kernel is not None and kernel.value.ndim == 4 else 3
        self._head()
        self.configuration.outputs = [(self._last, self.configuration.calls[-1].name)]

    def _root_of(self, depthwise: list[_Group]) -> str:
        """The group in which the base network lies; empty where its layers are the file's own."""
        parents = {group.place.rpartition("/")[0] for group in depthwise}
        if len(parents) == 1:
            return f"{parents.pop()}/"
        if self._archived and parents:
            raise FormatError(f"depthwise layers lie in several models: {', '.join(sorted(parents)):.200}")
        return "layers/" if self._archived else ""

    # The base ------------------------------------------------------------------------------------------------------

    def _mobilenet_v1(self, blocks: int) -> None:
        self._normalized("Conv2D", "conv1", "conv1_bn", strides=2)
        for number, row in enumerate(_V1_ROWS[blocks], start=1):
            name = f"conv_dw_{number}"
            self._normalized("DepthwiseConv2D", name, f"{name}_bn", strides=row.stride)
            name = f"conv_pw_{number}"
            self._normalized("Conv2D", name, f"{name}_bn")

    def _mobilenet_v2(self) -> None:
        self._normalized("Conv2D", "Conv1", "bn_Conv1", strides=2)
        for number, stride in enumerate(_V2_STRIDES):
            block, before, width = (f"block_{number}" if number else "expanded_conv"), self._last, self._width
            if number:
                self._normalized("Conv2D", f"{block}_expand", f"{block}_expand_BN")
            name = f"{block}_depthwise"
            self._normalized("DepthwiseConv2D", name, f"{name}_BN", strides=stride)
            name = f"{block}_project"
            self._normalized("Conv2D", name, f"{name}_BN", relu=False)
            if number and stride == 1 and width == self._width:
                self._add("Add", f"{block}_add", {}, before, self._last)
        self._normalized("Conv2D", "Conv_1", "Conv_1_bn")

    def _normalized(self, kind: str, name: str, norm: str, *, strides: int = 1, relu: bool = True) -> None:
        """A convolution of the base network, its batch norm, and ReLU6."""
        config = {"padding": "same", "activation": "linear", "use_bias": False, "strides": [strides, strides]}
        self._add_numbered(kind, name, config)
        self._add_numbered("BatchNormalization", norm, {"epsilon": _EPSILON})
        if relu:
            self._add("ReLU", f"{norm}_relu", {"max_value": 6.0}, self._last)

    def _add_numbered(self, kind: str, name: str, config: dict[str, Any]) -> None:
        """Add a layer of the base network: by its name, or in an archive by its number among its class."""
        of_class = snake_case(kind)
        number = self._count[of_class]
        self._count[of_class] += 1
        wanted = f"{of_class}{f'_{number}' if number else ''}" if self._archived else name
        for group in self._groups:
            if group.name == wanted and group.path.startswith(self._root):
                break
        else:
            raise FormatError(f"the file holds no variables of {wanted}, a {kind} that the network has ({name})")
        self._width = group.shapes[-1][-1] if kind == "BatchNormalization" else 0
        self._add_group(group, kind, config, name=name)

    def _add_group(self, group: _Group, kind: str, config: dict[str, Any], *, name: str = "") -> None:
        self._taken.add(group.path)
        models = () if self._archived else (group.path.partition("/")[0],)
        self._add(kind, name or group.name, config, self._last, models=models, place=group.place)

    def _add(
        self,
        kind: str,
        name: str,
        config: dict[str, Any],
        *sources: KerasTensor,
        models: tuple[str, ...] = (),
        place: str = "",
    ) -> None:
        self._last = KerasTensor(len(self.configuration.calls) + 1)
        self.configuration.calls.append(KerasCall(kind, name, config, sources, {}, self._last, models, place))

    # Before and behind it ------------------------------------------------------------------------------------------

    def _normalization(self, image: KerasTensor) -> KerasTensor:
        """A Normalization layer before the network."""
        self._last = image
        for group in self._groups:
            if group.order[0] == "normalization" and len(group.variables) in (2, 3):
                self._add_group(group, "Normalization", {"axis": -1})
        return self._last

    def _head(self) -> None:
        """Layers of the head: of what is left, each time the first whose inputs are as many as there are."""
        width, pixels, pooled = self._width, self._pixels(), False
        rest = sorted((group for group in self._groups if group.path not in self._taken), key=lambda one: one.order)
        while rest:
            group = next((one for one in rest if self._fits(one, width, 1 if pooled else pixels)), None)
            if group is None:
                raise FormatError(f"{rest[0].path} holds {rest[0].shapes}, which fits nowhere behind {width} channels")
            rest.remove(group)
            kernel = group.kernel
            if not pooled:
                self._pool(flat=kernel is not None and kernel[0] == width * pixels != width and len(kernel) == 2)
                pooled = True
            if kernel is None:
                self._add_group(group, "BatchNormalization", {"epsilon": _EPSILON})
                self.assumed.append(f"ε {_EPSILON:g} in {group.name}")
                continue
            kind, width = ("Dense" if len(kernel) == 2 else "Conv2D"), kernel[-1]
            hidden = any(one.kernel is not None for one in rest)
            config = {"padding": "valid", "strides": [1, 1], "use_bias": len(group.variables) > 1}
            self._add_group(group, kind, {**config, "activation": "relu" if hidden else "linear"})
            if hidden:
                self.assumed.append(f"ReLU after {group.name}")
            elif width == 1:
                self._add("Activation", "output", {"activation": "sigmoid"}, self._last)
                self.assumed.append("a sigmoid after the one output")

    def _pool(self, *, flat: bool) -> None:
        if flat:
            self._add("Flatten", "flatten", {}, self._last)
        else:
            kind = "GlobalMaxPooling2D" if self._holds("GlobalMaxPooling2D") else "GlobalAveragePooling2D"
            self._add(kind, snake_case(kind), {}, self._last)
            if not self._holds(kind):
                self.assumed.append("a global average pool")

    def _holds(self, kind: str) -> bool:
        """Whether the file names a layer of a class, by the name that Keras gives it: its group may be empty."""
        return any(re.fullmatch(rf"{snake_case(kind)}(_\d+)?", name) for name in self._layers)

    def _pixels(self) -> int:
        """Pixels of the last map."""
        height, width = (-(-side // _LARGEST_STRIDE) for side in self._size)
        return height * width

    @staticmethod
    def _fits(group: _Group, width: int, pixels: int) -> bool:
        kernel = group.kernel
        if kernel is None:
            return len(group.variables) in (3, 4) and set(group.shapes) == {(width,)}
        if len(kernel) == 4:
            return kernel[:3] == (1, 1, width)
        return kernel[0] in (width, width * pixels)


def _grouped(file: KerasFile) -> list[_Group]:
    groups: dict[str, dict[str, Tensor]] = {}
    for path, value in file.variables.items():
        group, _, variable = path.rpartition("/")
        groups.setdefault(group, {})[variable.partition(":")[0]] = value
    return [_Group(path, variables) for path, variables in groups.items()]
