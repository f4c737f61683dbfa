// uint8 kernels for AVX2.
#include "kernels/simd/avx2.h"

#include "table.h"
#include "x86.h"

namespace mobilenets {
namespace {

using Simd = Avx2<false>;

constexpr int best_vectors(int vectors) {
    return vectors == 1 ? 1 : 2;
}

// Sixteen bytes of the table at a time. A shuffle looks up the low four bits of what it is given, and gives zero where
// the highest is set, as it is, once 0x70 has been added, of all that is not one of the sixteen.
struct Lookup {
    static constexpr int kBytes = 32;
    const uint8_t* table;

    explicit Lookup(const uint8_t* from) : table(from) {}
    void apply(const uint8_t* in, uint8_t* out) const {
        const __m256i index = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in));
        const __m256i bias = _mm256_set1_epi8(0x70);
        __m256i found = _mm256_setzero_si256();
        MOBILENETS_UNROLL for (int i = 0; i < 16; ++i) {
            const __m256i part =
                _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table + 16 * i)));
            const __m256i mine = _mm256_xor_si256(index, _mm256_set1_epi8(static_cast<char>(16 * i)));
            found = _mm256_or_si256(found, _mm256_shuffle_epi8(part, _mm256_adds_epu8(mine, bias)));
        }
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), found);
    }
};

const Kernel kKernels[] = {
    u8_linear<Simd>("u8_pointwise_1x32_avx2"),
    u8_pointwise<Simd, 4, 2, best_vectors, ProductOfSums>("u8_pointwise_4x16_avx2"),
    u8_pointwise<Simd, 6, 2, best_vectors>("u8_pointwise_6x16_avx2"),
    u8_pointwise<Simd, 12, 1, best_vectors>("u8_pointwise_12x8_avx2"),
    u8_depthwise_flat<Simd, 8, 1>("u8_depthwise_3x3s1_flat8_avx2"),
    u8_depthwise_flat<Simd, 16, 1>("u8_depthwise_3x3s1_flat16_avx2"),
    u8_depthwise_flat<Simd, 16, 2>("u8_depthwise_3x3s2_flat16_avx2"),
    u8_depthwise<Simd, 1>("u8_depthwise_3x3s1_32_avx2"),
    u8_depthwise<Simd, 2>("u8_depthwise_3x3s2_32_avx2"),
    u8_depthwise_any<Simd>("u8_depthwise_32_avx2"),
    u8_stem_rows<Simd, 6, 2, best_vectors>("u8_stem_3x3_6x16_avx2"),
    u8_stem_rows<Simd, 12, 1, best_vectors>("u8_stem_3x3_12x8_avx2"),
    u8_stem_gathered<Simd, 6, 2>("u8_stem_6x16_avx2"),
    u8_max_pool<Simd>("u8_max_pool_32_avx2"),
    u8_average_pool<Simd>("u8_average_pool_32_avx2"),
    u8_sum<Simd>("u8_sum_32_avx2"),
    u8_product<Simd>("u8_product_32_avx2"),
    u8_table<Lookup>("u8_activation_32_avx2"),
};

}  // namespace

const KernelList kU8Avx2 = {kKernels, sizeof kKernels / sizeof *kKernels};

}  // namespace mobilenets
