// uint8 kernels for AVX-VNNI, its 256-bit vectors.
#include "kernels/simd/avx2.h"
#include "x86.h"

namespace mobilenets {
namespace {

using Simd = Avx2<true>;

constexpr int best_vectors(int vectors) {
    return vectors == 1 ? 1 : 2;
}

const Kernel kKernels[] = {
    u8_pointwise<Simd, 6, 2, best_vectors>("u8_pointwise_6x16_avxvnni"),
    u8_pointwise<Simd, 12, 1, best_vectors>("u8_pointwise_12x8_avxvnni"),
    u8_depthwise_flat<Simd, 8, 1>("u8_depthwise_3x3s1_flat8_avxvnni"),
    u8_depthwise_flat<Simd, 16, 1>("u8_depthwise_3x3s1_flat16_avxvnni"),
    u8_depthwise_flat<Simd, 24, 1>("u8_depthwise_3x3s1_flat24_avxvnni"),
    u8_depthwise_flat<Simd, 16, 2>("u8_depthwise_3x3s2_flat16_avxvnni"),
    u8_depthwise<Simd, 1>("u8_depthwise_3x3s1_32_avxvnni"),
    u8_depthwise<Simd, 2>("u8_depthwise_3x3s2_32_avxvnni"),
    u8_depthwise_5x5<Simd, 1>("u8_depthwise_5x5s1_32_avxvnni"),
    u8_depthwise_5x5<Simd, 2>("u8_depthwise_5x5s2_32_avxvnni"),
    u8_depthwise_any<Simd>("u8_depthwise_32_avxvnni"),
    u8_stem<Simd>("u8_stem_3x3s2_8_avxvnni"),
    u8_stem_gathered<Simd, 6, 2>("u8_stem_6x16_avxvnni"),
    u8_max_pool<Simd>("u8_max_pool_32_avxvnni"),
    u8_average_pool<Simd>("u8_average_pool_32_avxvnni"),
    u8_sum<Simd>("u8_sum_32_avxvnni"),
    u8_product<Simd>("u8_product_32_avxvnni"),
};

}  // namespace

const KernelList kU8AvxVnni = {kKernels, sizeof kKernels / sizeof *kKernels};

}  // namespace mobilenets
