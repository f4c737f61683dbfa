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

// A shuffle looks up the low four bits of what it is given among sixteen bytes, and gives zero where the highest is
// set. Of a half of the table, part i is kept as its difference from part i − 1: index − 16 i is negative for all parts
// behind the one that is meant, and those up to it add up to it, for exclusive or undoes itself. The index saturates,
// so that what belongs to the other half stays negative throughout.
struct Lookup {
    static constexpr int kVectors = 4, kBytes = 32 * kVectors;
    __m256i parts[16];

    explicit Lookup(const uint8_t* table) {
        __m256i before = _mm256_setzero_si256();
        for (int i = 0; i < 16; ++i) {
            const auto* from = reinterpret_cast<const __m128i*>(table + 16 * i);
            const __m256i part = _mm256_broadcastsi128_si256(_mm_loadu_si128(from));
            parts[i] = i % 8 == 0 ? part : _mm256_xor_si256(part, before);
            before = part;
        }
    }
    void apply(const uint8_t* in, uint8_t* out) const {
        const __m256i top = _mm256_set1_epi8(static_cast<char>(0x80)), step = _mm256_set1_epi8(16);
        __m256i index[kVectors], found[kVectors];
        MOBILENETS_UNROLL for (int v = 0; v < kVectors; ++v) {
            index[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + 32 * v));
            found[v] = _mm256_setzero_si256();
        }
        for (int half = 0; half < 2; ++half) {
            __m256i rest[kVectors];
            MOBILENETS_UNROLL for (int v = 0; v < kVectors; ++v) {
                rest[v] = index[v];
                index[v] = _mm256_xor_si256(index[v], top);
            }
            MOBILENETS_UNROLL for (int i = 0; i < 8; ++i) {
                const __m256i part = parts[8 * half + i];
                MOBILENETS_UNROLL for (int v = 0; v < kVectors; ++v) {
                    found[v] = _mm256_xor_si256(found[v], _mm256_shuffle_epi8(part, rest[v]));
                    rest[v] = _mm256_subs_epi8(rest[v], step);
                }
            }
        }
        MOBILENETS_UNROLL for (int v = 0; v < kVectors; ++v)
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 32 * v), found[v]);
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
    u8_depthwise_5x5<Simd, 1>("u8_depthwise_5x5s1_32_avx2"),
    u8_depthwise_5x5<Simd, 2>("u8_depthwise_5x5s2_32_avx2"),
    u8_depthwise_any<Simd>("u8_depthwise_32_avx2"),
    u8_stem_rows<Simd, 6, 2, best_vectors>("u8_stem_3x3_6x16_avx2"),
    u8_stem_rows<Simd, 12, 1, best_vectors>("u8_stem_3x3_12x8_avx2"),
    u8_stem_gathered<Simd, 6, 2>("u8_stem_6x16_avx2"),
    u8_max_pool<Simd>("u8_max_pool_32_avx2"),
    u8_average_pool<Simd>("u8_average_pool_32_avx2"),
    u8_sum<Simd>("u8_sum_32_avx2"),
    u8_product<Simd>("u8_product_32_avx2"),
    u8_table<Lookup>("u8_activation_128_avx2"),
};

}  // namespace

const KernelList kU8Avx2 = {kKernels, sizeof kKernels / sizeof *kKernels};

}  // namespace mobilenets
