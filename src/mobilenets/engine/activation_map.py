"""Class activation maps: what of an image speaks for a class.

In a network that ends in a global average pool and a linear classifier, a logit is the mean over the map of a weighted
sum of its channels; the sum before the mean is the map. Source: Zhou et al. 2016, arXiv:1512.04150.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mobilenets.architecture.layers import GlobalAveragePool
from mobilenets.base.arguments import typed
from mobilenets.data.image import image_source
from mobilenets.engine.predictor import GivenImage, Predictor
from mobilenets.errors import EngineError
from mobilenets.model.features import classifier_layer, feature_model
from mobilenets.model.integer_weights import dequantize
from mobilenets.model.model import Model
from mobilenets.tasks.classification import Classification


class ActivationMaps:
    """Class activation maps of a classifier.

    Args:
        model: A classifier that ends in a global average pool and one linear or pointwise layer, as MobileNet V1 and V2
            do. An int8 Model is taken as the float32 Model that it stands for.

    Raises:
        EngineError: If the Model is no such classifier.
    """

    @typed(EngineError)
    def __init__(self, model: Model) -> None:
        layer = classifier_layer(model.network)
        pool = None if layer is None or layer.inputs[0] == "input" else model.network[layer.inputs[0]]
        if layer is None or not isinstance(pool, GlobalAveragePool) or not isinstance(model.task, Classification):
            raise EngineError(
                f"{model.network.name} has no class activation maps: it ends in no average pool and classifier"
            )
        real = model if model.quantization is None else dequantize(model)
        self._labels = model.task.labels
        self._weights = real.parameters[f"{layer.name}.weight"].reshape(len(self._labels), -1)
        self._predictor = Predictor(feature_model(real, pool.inputs[0]))

    def of(self, image: GivenImage, label: str) -> tuple[npt.NDArray[np.float32], tuple[float, float, float, float]]:
        """What of an image speaks for a class.

        Args:
            image: As :meth:`Classifier.predict <mobilenets.engine.predictor.Classifier.predict>` takes it.
            label: The class.

        Returns:
            float32 (height, width) of the last map of the network, above 0 where it speaks for the class; and the part
            of the image that it covers: left, top, right and bottom as shares of its size.

        Raises:
            EngineError: If the Model has no such class.
            DataError: If the image cannot be decoded.
        """
        if label not in self._labels:
            raise EngineError(f"the Model has no class {label!r}")
        prepared = self._predictor.prepare(image_source(image))
        (maps,) = self._predictor.session.outputs(prepared.pixels[None]).values()
        channels = maps.reshape(*maps.shape[:2], *(maps.shape[2:] or (1, 1)))[0]
        values = np.tensordot(self._weights[self._labels.index(label)], channels, axes=1)
        (width, height), (left, top, right, bottom) = prepared.geometry.size, prepared.geometry.box
        return values.astype(np.float32), (left / width, top / height, right / width, bottom / height)
