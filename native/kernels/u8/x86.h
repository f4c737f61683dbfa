// The uint8 kernels of every x86 instruction set, for its file to list under their names.
#pragma once

#include "convolution.h"
#include "depthwise.h"
#include "depthwise_5x5.h"
#include "depthwise_any.h"
#include "depthwise_flat.h"
#include "elementwise.h"
#include "pointwise.h"
#include "stem.h"
#include "stem_rows.h"

namespace mobilenets {
namespace {

// A formulation as a kernel. Only where weights are 16 bits wide can they hold weights less their zero point.
template <class S, class F, Kind kind>
constexpr Kernel u8_kernel(const char* name) {
    return {name,     kind,   Type::kUint8, F::fits, F::packed_bytes, F::pack, F::scratch_bytes,
            F::grain, F::run, S::kStep == 2};
}

// Pointwise convolution in panels of kVectors vectors, for those output channels that `choose` gives them.
template <class S, int kRows, int kVectors, int (*choose)(int), template <class> class Product = DirectProduct>
struct ChosenPointwise : Pointwise<S, kRows, kVectors, Product> {
    static bool fits(const Operation& op) {
        return choose((op.out_channels + S::kLanes - 1) / S::kLanes) == kVectors &&
               op.in_channels >= Product<S>::kLeastChannels;
    }
};

template <class S, int kRows, int kVectors, int (*choose)(int), template <class> class Product = DirectProduct>
constexpr Kernel u8_pointwise(const char* name) {
    return u8_kernel<S, ChosenPointwise<S, kRows, kVectors, choose, Product>, Kind::kPointwise>(name);
}
// Dense convolution 3×3, with the same choice. Only with dot products of bytes.
template <class S, int kRows, int kVectors, int (*choose)(int)>
struct ChosenConvolution : Convolution<S, kRows, kVectors> {
    static bool fits(const Operation& op) {
        return choose((op.out_channels + S::kLanes - 1) / S::kLanes) == kVectors &&
               Convolution<S, kRows, kVectors>::fits(op);
    }
};
template <class S, int kRows, int kVectors, int (*choose)(int)>
constexpr Kernel u8_convolution(const char* name) {
    return u8_kernel<S, ChosenConvolution<S, kRows, kVectors, choose>, Kind::kConvolution>(name);
}
template <class S, int kChannels, int kStride>
constexpr Kernel u8_depthwise_flat(const char* name) {
    return u8_kernel<S, DepthwiseFlat<S, kChannels, kStride>, Kind::kDepthwise>(name);
}

// Linear layers on pooled maps.
template <class S>
struct Linear : Pointwise<S, 1, 4, ByteWeightProduct> {
    static bool fits(const Operation& op) { return op.real_output && op.in_height == 1 && op.in_width == 1; }
};
template <class S>
constexpr Kernel u8_linear(const char* name) {
    Kernel kernel = u8_kernel<S, Linear<S>, Kind::kPointwise>(name);
    kernel.takes_weight_zero_points = false;  // weights less their zero point are no bytes
    return kernel;
}
template <class S, int kStride>
constexpr Kernel u8_depthwise(const char* name) {
    return u8_kernel<S, DepthwiseWide<S, kStride>, Kind::kDepthwise>(name);
}
template <class S, int kStride>
constexpr Kernel u8_depthwise_5x5(const char* name) {
    return u8_kernel<S, Depthwise5x5<S, kStride>, Kind::kDepthwise>(name);
}
template <class S>
constexpr Kernel u8_depthwise_any(const char* name) {
    return u8_kernel<S, DepthwiseAny<S>, Kind::kDepthwise>(name);
}
template <class S>
constexpr Kernel u8_stem(const char* name) {
    return u8_kernel<S, StemRgb<S>, Kind::kStem>(name);
}
template <class S, int kRows, int kVectors>
constexpr Kernel u8_stem_gathered(const char* name) {
    return u8_kernel<S, StemGathered<Pointwise<S, kRows, kVectors>>, Kind::kStem>(name);
}
// The same choice for a first convolution.
template <class S, int kRows, int kVectors, int (*choose)(int)>
struct ChosenStemRows : StemRows<S, kRows, kVectors> {
    static bool fits(const Operation& op) {
        return choose((op.out_channels + S::kLanes - 1) / S::kLanes) == kVectors &&
               StemRows<S, kRows, kVectors>::fits(op);
    }
};
template <class S, int kRows, int kVectors, int (*choose)(int)>
constexpr Kernel u8_stem_rows(const char* name) {
    return u8_kernel<S, ChosenStemRows<S, kRows, kVectors, choose>, Kind::kStem>(name);
}
template <class S>
constexpr Kernel u8_max_pool(const char* name) {
    return u8_kernel<S, MaxPool<S>, Kind::kMaxPool>(name);
}
template <class S>
constexpr Kernel u8_average_pool(const char* name) {
    return u8_kernel<S, AveragePool<S>, Kind::kAveragePool>(name);
}
template <class S>
constexpr Kernel u8_sum(const char* name) {
    return u8_kernel<S, Sum<S>, Kind::kSum>(name);
}
template <class S>
constexpr Kernel u8_product(const char* name) {
    return u8_kernel<S, ProductOfTwo<S>, Kind::kProduct>(name);
}

}  // namespace
}  // namespace mobilenets
