// Activations that are no clamp, of one float: the meaning of those of a vector.
#pragma once

#include "kernels.h"

namespace mobilenets {
namespace {

inline float hard_sigmoid(float value) {
    const float line = value * (1.0f / 6) + 0.5f;
    return line < 0 ? 0 : line > 1 ? 1 : line;
}

inline float activated(Activation activation, float value) {
    switch (activation) {
        case Activation::kNone:
        case Activation::kRelu:
        case Activation::kRelu6:
            break;  // clamps, which are no operation of their own
        case Activation::kHardSigmoid:
            return hard_sigmoid(value);
        case Activation::kHardSwish:
            return value * hard_sigmoid(value);
    }
    return value;
}

}  // namespace
}  // namespace mobilenets
