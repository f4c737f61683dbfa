// uint8 kernels for AVX-512 VNNI.
#include "../kernels.h"
#include "simd_avx512.h"
#include "u8_depthwise.h"
#include "u8_depthwise_flat.h"
#include "u8_elementwise.h"
#include "u8_pointwise.h"
#include "u8_stem.h"

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

template <class K, Kind kind>
constexpr Kernel kernel(const char* name) {
    return {name, kind, Type::kUint8, K::fits, K::packed_bytes, K::pack, K::scratch_bytes, K::grain, K::run};
}
template <class D>
constexpr Kernel depthwise(const char* name) {
    return kernel<D, Kind::kDepthwise>(name);
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
    kernel<StemRgb<Simd>, Kind::kStem>("u8_stem_3x3s2_16_avx512vnni"),
    kernel<StemGathered<Pointwise<Simd, 7, 4>>, Kind::kStem>("u8_stem_7x64_avx512vnni"),
    kernel<MaxPool<Simd>, Kind::kMaxPool>("u8_max_pool_64_avx512vnni"),
    kernel<AveragePool<Simd>, Kind::kAveragePool>("u8_average_pool_64_avx512vnni"),
    kernel<Sum<Simd>, Kind::kSum>("u8_sum_64_avx512vnni"),
};

}  // namespace

const KernelList kU8Avx512Vnni = {kKernels, sizeof kKernels / sizeof *kKernels};

}  // namespace mobilenets
