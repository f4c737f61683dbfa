// uint8 kernels for AVX-512 with VNNI.
#include "kernels/simd/avx512.h"
#include "x86.h"

namespace mobilenets {
namespace {

using Simd = Avx512<true>;

// Wide panels waste the fewest loads; a narrower one where it leaves fewer channels empty.
constexpr int best_vectors(int vectors) {
    if (vectors == 1) return 1;
    if (vectors % 4 == 0 || vectors > 12) return 4;
    if (vectors == 3 || vectors == 9) return 3;
    return vectors % 4 == 3 ? 4 : 2;
}

const Kernel kKernels[] = {
    u8_pointwise<Simd, 6, 4, best_vectors>("u8_pointwise_6x64_avx512vnni"),
    u8_pointwise<Simd, 14, 2, best_vectors>("u8_pointwise_14x32_avx512vnni"),
    u8_pointwise<Simd, 8, 3, best_vectors>("u8_pointwise_8x48_avx512vnni"),
    u8_pointwise<Simd, 8, 1, best_vectors>("u8_pointwise_8x16_avx512vnni"),
    u8_convolution<Simd, 6, 4, best_vectors>("u8_convolution_3x3_6x64_avx512vnni"),
    u8_convolution<Simd, 8, 2, best_vectors>("u8_convolution_3x3_8x32_avx512vnni"),
    u8_convolution<Simd, 8, 3, best_vectors>("u8_convolution_3x3_8x48_avx512vnni"),
    u8_convolution<Simd, 8, 1, best_vectors>("u8_convolution_3x3_8x16_avx512vnni"),
    u8_depthwise_flat<Simd, 8, 1>("u8_depthwise_3x3s1_flat8_avx512vnni"),
    u8_depthwise_flat<Simd, 16, 1>("u8_depthwise_3x3s1_flat16_avx512vnni"),
    u8_depthwise_flat<Simd, 24, 1>("u8_depthwise_3x3s1_flat24_avx512vnni"),
    u8_depthwise_flat<Simd, 32, 1>("u8_depthwise_3x3s1_flat32_avx512vnni"),
    u8_depthwise_flat<Simd, 48, 1>("u8_depthwise_3x3s1_flat48_avx512vnni"),
    u8_depthwise_flat<Simd, 16, 2>("u8_depthwise_3x3s2_flat16_avx512vnni"),
    u8_depthwise_flat<Simd, 32, 2>("u8_depthwise_3x3s2_flat32_avx512vnni"),
    u8_depthwise<Simd, 1>("u8_depthwise_3x3s1_64_avx512vnni"),
    u8_depthwise<Simd, 2>("u8_depthwise_3x3s2_64_avx512vnni"),
    u8_depthwise_5x5<Simd, 1>("u8_depthwise_5x5s1_64_avx512vnni"),
    u8_depthwise_5x5<Simd, 2>("u8_depthwise_5x5s2_64_avx512vnni"),
    u8_depthwise_any<Simd>("u8_depthwise_64_avx512vnni"),
    u8_stem<Simd>("u8_stem_3x3s2_16_avx512vnni"),
    u8_stem_gathered<Simd, 6, 4>("u8_stem_6x64_avx512vnni"),
    u8_max_pool<Simd>("u8_max_pool_64_avx512vnni"),
    u8_average_pool<Simd>("u8_average_pool_64_avx512vnni"),
    u8_sum<Simd>("u8_sum_64_avx512vnni"),
    u8_product<Simd>("u8_product_64_avx512vnni"),
};

}  // namespace

const KernelList kU8Avx512Vnni = {kKernels, sizeof kKernels / sizeof *kKernels};

}  // namespace mobilenets
