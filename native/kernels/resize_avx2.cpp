// Loops of resize.h for AVX2: 16-bit products of bytes and half weights, added in pairs.
#include <immintrin.h>

#include <cstring>

#include "kernels/simd/unroll.h"
#include "resize.h"

namespace mobilenets {
namespace {

__m256i load_pairs(const void* from) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

__m256i add_halves(__m256i high, __m256i low) {
    return _mm256_add_epi32(_mm256_slli_epi32(high, kLowBits), low);
}

// Four pixels at a time: the first two in the lower half of a register, the others in the upper one, neighbours' bytes
// of one colour side by side.
void horizontal(const uint8_t* row, const Taps& taps, uint8_t* out) {
    const __m256i neighbours = _mm256_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, -1, -1, -1, -1,  //
                                                8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, -1, -1, -1, -1);
    const __m128i half = _mm_set1_epi32(1 << (kWeightBits - 1));
    const int16_t* weights = taps.spread;
    const int32_t groups = taps.most / kTapsTogether;
    for (int32_t i = 0; i < taps.outputs; ++i, out += 3) {
        const uint8_t* in = row + kPixelBytes * static_cast<ptrdiff_t>(taps.first[i]);
        __m256i high = _mm256_setzero_si256(), low = _mm256_setzero_si256();
        for (int32_t g = 0; g < groups; ++g, in += kPixelBytes * kTapsTogether, weights += 32) {
            const __m128i pixels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in));
            const __m256i pairs = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(pixels), neighbours);
            high = _mm256_add_epi32(high, _mm256_madd_epi16(pairs, load_pairs(weights)));
            low = _mm256_add_epi32(low, _mm256_madd_epi16(pairs, load_pairs(weights + 16)));
        }
        const __m256i both = add_halves(high, low);
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
        sum = _mm_srai_epi32(_mm_add_epi32(sum, half), kWeightBits);
        sum = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
        const int pixel = _mm_cvtsi128_si32(sum);
        std::memcpy(out, &pixel, sizeof pixel);
    }
}

void vertical(const uint8_t* const* rows, const Taps& taps, int32_t output, int32_t count, uint8_t* out) {
    const __m256i half = _mm256_set1_epi32(1 << (kWeightBits - 1));
    const int16_t* const weights = taps.pairs + static_cast<ptrdiff_t>(output) * taps.most * 2;
    for (int32_t x = 0; x < count; x += 16) {
        __m256i high[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()}, low[2] = {half, half};
        for (int32_t t = 0; t < taps.most; t += 2) {
            const auto bytes = [&](int32_t row) {
                return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[row] + x)));
            };
            const __m256i upper = bytes(t), lower = bytes(t + 1);
            const __m256i pairs[2] = {_mm256_unpacklo_epi16(upper, lower), _mm256_unpackhi_epi16(upper, lower)};
            int two[2];
            std::memcpy(two, weights + 2 * t, sizeof two);
            MOBILENETS_UNROLL
            for (int i = 0; i < 2; ++i) {
                high[i] = _mm256_add_epi32(high[i], _mm256_madd_epi16(pairs[i], _mm256_set1_epi32(two[0])));
                low[i] = _mm256_add_epi32(low[i], _mm256_madd_epi16(pairs[i], _mm256_set1_epi32(two[1])));
            }
        }
        __m256i sums[2];
        MOBILENETS_UNROLL
        for (int i = 0; i < 2; ++i) sums[i] = _mm256_srai_epi32(add_halves(high[i], low[i]), kWeightBits);
        const __m256i words = _mm256_packs_epi32(sums[0], sums[1]);
        const __m128i results = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        if (count - x >= 16) {
            _mm_storeu_si128(reinterpret_cast<__m128i*>(out + x), results);
        } else {
            uint8_t last[16];
            _mm_storeu_si128(reinterpret_cast<__m128i*>(last), results);
            std::memcpy(out + x, last, static_cast<size_t>(count - x));
        }
    }
}

}  // namespace

const ResizeLoops kResizeAvx2 = {horizontal, vertical};

}  // namespace mobilenets
