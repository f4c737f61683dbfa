// uint8 kernels for AVX-512 VNNI.
#include "../kernels.h"
#include "simd_avx512.h"
#include "u8_depthwise.h"
#include "u8_depthwise_flat.h"
#include "u8_pointwise.h"

namespace mobilenets {
namespace {

using Simd = Avx512<true>;

// Wide panels waste the least loads; a narrower one where it leaves fewer channels empty.
int best_vectors(const Operation& op) {
    const int vectors = (op.out_channels + Simd::kLanes - 1) / Simd::kLanes;
    if (vectors == 1) return 1;
    if (vectors % 4 == 0 || vectors > 12) return 4;
    if (vectors == 3 || vectors == 9) return 3;
    return vectors % 4 == 3 ? 4 : 2;
}

template <int kVectors>
bool fits_pointwise(const Operation& op) {
    return !op.weight_zero_points && best_vectors(op) == kVectors;
}

template <int kRows, int kVectors>
constexpr Kernel pointwise(const char* name) {
    using P = Pointwise<Simd, kRows, kVectors>;
    return {name,     Kind::kPointwise,   Type::kUint8, fits_pointwise<kVectors>, P::packed_bytes,
            P::pack, P::scratch_bytes, P::grain,     P::run};
}

template <class D>
constexpr Kernel depthwise(const char* name) {
    return {name,    Kind::kDepthwise, Type::kUint8, D::fits, D::packed_bytes, D::pack, D::scratch_bytes, D::grain,
            D::run};
}

const Kernel kKernels[] = {
    pointwise<7, 4>("u8_pointwise_7x64_avx512vnni"),
    pointwise<14, 2>("u8_pointwise_14x32_avx512vnni"),
    pointwise<8, 3>("u8_pointwise_8x48_avx512vnni"),
    pointwise<12, 1>("u8_pointwise_12x16_avx512vnni"),
    depthwise<DepthwiseFlat<Simd, 8, 1>>("u8_depthwise_3x3s1_flat8_avx512vnni"),
    depthwise<DepthwiseFlat<Simd, 16, 1>>("u8_depthwise_3x3s1_flat16_avx512vnni"),
    depthwise<DepthwiseFlat<Simd, 24, 1>>("u8_depthwise_3x3s1_flat24_avx512vnni"),
    depthwise<DepthwiseFlat<Simd, 32, 1>>("u8_depthwise_3x3s1_flat32_avx512vnni"),
    depthwise<DepthwiseFlat<Simd, 48, 1>>("u8_depthwise_3x3s1_flat48_avx512vnni"),
    depthwise<DepthwiseFlat<Simd, 16, 2>>("u8_depthwise_3x3s2_flat16_avx512vnni"),
    depthwise<DepthwiseFlat<Simd, 32, 2>>("u8_depthwise_3x3s2_flat32_avx512vnni"),
    depthwise<DepthwiseWide<Simd, 1>>("u8_depthwise_3x3s1_64_avx512vnni"),
    depthwise<DepthwiseWide<Simd, 2>>("u8_depthwise_3x3s2_64_avx512vnni"),
};

}  // namespace

const KernelList kU8Avx512Vnni = {kKernels, sizeof kKernels / sizeof *kKernels};

}  // namespace mobilenets
