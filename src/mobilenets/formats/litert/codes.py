"""Operators of a LiteRT file by their numbers in the schema: those that are read, and names of others."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """The operators that are read, by their numbers in the schema."""

    ADD = 0
    AVERAGE_POOL_2D = 1
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    DEQUANTIZE = 6
    LOGISTIC = 14
    FULLY_CONNECTED = 9
    MAX_POOL_2D = 17
    MUL = 18
    RELU = 19
    RELU_N1_TO_1 = 20
    RELU6 = 21
    RESHAPE = 22
    SOFTMAX = 25
    PAD = 34
    GATHER = 36
    MEAN = 40
    SUB = 41
    DIV = 42
    SQUEEZE = 43
    STRIDED_SLICE = 45
    CAST = 53
    MAXIMUM = 55
    ARG_MAX = 56
    MINIMUM = 57
    TILE = 69
    SHAPE = 77
    PACK = 83
    REVERSE_V2 = 105
    QUANTIZE = 114
    HARD_SWISH = 117


WEIGHTED = (Code.CONV_2D, Code.DEPTHWISE_CONV_2D, Code.FULLY_CONNECTED)
"""Those that have weights."""
SHAPE_ARITHMETIC = (Code.SHAPE, Code.STRIDED_SLICE, Code.PACK)
"""Those with which Keras computes the batch of a reshape; the tensors of the file have the shapes that come of it."""
OTHER_NAMES = {
    23: "RESIZE_BILINEAR",
    49: "SPLIT",
    28: "TANH",
    39: "TRANSPOSE",
    59: "NEG",
    65: "SLICE",
    79: "ARG_MIN",
    92: "EXP",
    97: "RESIZE_NEAREST_NEIGHBOR",
    98: "LEAKY_RELU",
    32: "CUSTOM",
    54: "PRELU",
    67: "TRANSPOSE_CONV",
    111: "ELU",
    150: "GELU",
    126: "BATCH_MATMUL",
    70: "EXPAND_DIMS",
    50: "LOG_SOFTMAX",
}
"""Names of some operators that no Network has, for messages."""
