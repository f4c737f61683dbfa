// uint8 kernels for AVX-512 without VNNI.
#include "kernels/simd/avx512.h"

#include "x86.h"

namespace mobilenets {
namespace {

using Simd = Avx512<false>;

constexpr int best_vectors(int vectors) {
    return vectors == 1 ? 1 : 2;
}

const Kernel kKernels[] = {
    u8_pointwise<Simd, 12, 2, best_vectors>("u8_pointwise_12x32_avx512"),
    u8_pointwise<Simd, 14, 1, best_vectors>("u8_pointwise_14x16_avx512"),
    u8_depthwise_flat<Simd, 8, 1>("u8_depthwise_3x3s1_flat8_avx512"),
    u8_depthwise_flat<Simd, 16, 1>("u8_depthwise_3x3s1_flat16_avx512"),
    u8_depthwise_flat<Simd, 24, 1>("u8_depthwise_3x3s1_flat24_avx512"),
    u8_depthwise_flat<Simd, 32, 1>("u8_depthwise_3x3s1_flat32_avx512"),
    u8_depthwise_flat<Simd, 48, 1>("u8_depthwise_3x3s1_flat48_avx512"),
    u8_depthwise_flat<Simd, 16, 2>("u8_depthwise_3x3s2_flat16_avx512"),
    u8_depthwise_flat<Simd, 32, 2>("u8_depthwise_3x3s2_flat32_avx512"),
    u8_depthwise<Simd, 1>("u8_depthwise_3x3s1_64_avx512"),
    u8_depthwise<Simd, 2>("u8_depthwise_3x3s2_64_avx512"),
    u8_depthwise_5x5<Simd, 1>("u8_depthwise_5x5s1_64_avx512"),
    u8_depthwise_5x5<Simd, 2>("u8_depthwise_5x5s2_64_avx512"),
    u8_depthwise_any<Simd>("u8_depthwise_64_avx512"),
    u8_stem<Simd>("u8_stem_3x3s2_16_avx512"),
    u8_stem_gathered<Simd, 12, 2>("u8_stem_12x32_avx512"),
    u8_max_pool<Simd>("u8_max_pool_64_avx512"),
    u8_average_pool<Simd>("u8_average_pool_64_avx512"),
    u8_sum<Simd>("u8_sum_64_avx512"),
    u8_product<Simd>("u8_product_64_avx512"),
};

}  // namespace

const KernelList kU8Avx512 = {kKernels, sizeof kKernels / sizeof *kKernels};

}  // namespace mobilenets
