// The 512-bit vectors of AVX-512 (F, BW, DQ, VL), with the dot products of VNNI or without: the vocabulary in which
// the uint8 kernels are written. avx2.h says the same in 256 bits.
//
// A vector holds kLanes int32, or kBytes bytes in kBytes / 16 groups of 128 bits, within which bytes are interleaved
// and packed. Dot products take groups of four bytes ("quads"): unsigned activations and signed weights.
#pragma once

#include <immintrin.h>

#include "simd.h"

namespace mobilenets {
namespace {

template <bool kVnni>
struct Avx512 {
    static constexpr int kLanes = 16, kBytes = 64, kGroups = 4, kStemBlocks = kVnni ? 2 : 1;
    static constexpr bool kOrdersPixels = false;  // see stem.h
    using Int = __m512i;
    using Float = __m512;

    // Weights as `dot` wants them, one vector of quads. VNNI takes bytes. Without it, products are made of 16-bit
    // pairs: even and odd bytes apart, so that a quad takes eight bytes of packed memory.
    struct Pairs {
        Int even, odd;
    };
    template <bool kBytesWide, class = void>
    struct Operand {
        using type = Pairs;
    };
    template <class Unused>
    struct Operand<true, Unused> {
        using type = Int;
    };
    using Quads = typename Operand<kVnni>::type;
    static constexpr int kWeightBytes = kVnni ? kBytes : 2 * kBytes;

    static MOBILENETS_INLINE Int load(const void* p) { return _mm512_loadu_si512(p); }
    static MOBILENETS_INLINE Float load_float(const void* p) { return _mm512_loadu_ps(p); }
    static MOBILENETS_INLINE void store(void* p, Int v) { _mm512_storeu_si512(p, v); }
    static MOBILENETS_INLINE void store_float(void* p, Float v) { _mm512_storeu_ps(p, v); }
    static MOBILENETS_INLINE Int zero() { return _mm512_setzero_si512(); }
    static MOBILENETS_INLINE Int fill_bytes(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
    static MOBILENETS_INLINE Int fill_words(int value) { return _mm512_set1_epi16(static_cast<short>(value)); }
    static MOBILENETS_INLINE Int fill(int value) { return _mm512_set1_epi32(value); }
    static MOBILENETS_INLINE Float fill_float(float value) { return _mm512_set1_ps(value); }
    static MOBILENETS_INLINE Int add(Int a, Int b) { return _mm512_add_epi32(a, b); }
    static MOBILENETS_INLINE Int subtract(Int a, Int b) { return _mm512_sub_epi32(a, b); }
    static MOBILENETS_INLINE Int max_bytes(Int a, Int b) { return _mm512_max_epu8(a, b); }
    static MOBILENETS_INLINE Float to_float(Int v) { return _mm512_cvtepi32_ps(v); }
    static MOBILENETS_INLINE Int round(Float v) { return _mm512_cvtps_epi32(v); }
    static MOBILENETS_INLINE Float multiply(Float a, Float b) { return _mm512_mul_ps(a, b); }
    static MOBILENETS_INLINE Float add_float(Float a, Float b) { return _mm512_add_ps(a, b); }
    static MOBILENETS_INLINE Float multiply_add(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
    static MOBILENETS_INLINE Float as_float(Int v) { return _mm512_castsi512_ps(v); }
    static MOBILENETS_INLINE Float clamp(Float v, Float low, Float high) {
        return _mm512_min_ps(_mm512_max_ps(v, low), high);
    }

    static MOBILENETS_INLINE Quads quads(Int v) {
        if constexpr (kVnni)
            return v;
        else
            return {_mm512_and_si512(v, _mm512_set1_epi16(255)), _mm512_srli_epi16(v, 8)};
    }
    static MOBILENETS_INLINE Quads load_weights(const void* p) {
        if constexpr (kVnni)
            return load(p);
        else
            return {load(p), load(static_cast<const char*>(p) + kBytes)};
    }
    // Pointwise convolution walks its input by steps of four bytes: four activations, or two that were widened.
    static constexpr int kStep = kVnni ? 4 : 2;
    static MOBILENETS_INLINE Int broadcast_step(const uint8_t* p) {
        int32_t step;
        std::memcpy(&step, p, 4);
        return _mm512_set1_epi32(step);
    }
    static MOBILENETS_INLINE void step(Int& sum, Int activations, Int weights) {
        if constexpr (kVnni)
            dot(sum, activations, weights);
        else
            sum = _mm512_add_epi32(sum, _mm512_madd_epi16(activations, weights));
    }
    static MOBILENETS_INLINE void put_step_weight(char* vector, int lane, int k, int weight) {
        if constexpr (kVnni) {
            vector[4 * lane + k] = static_cast<char>(weight);
        } else {
            const auto wide = static_cast<int16_t>(weight);
            std::memcpy(vector + 4 * lane + 2 * k, &wide, 2);
        }
    }
    // kBytes / 2 bytes to words.
    static MOBILENETS_INLINE Int widen(const uint8_t* p) {
        return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }

    // Writes one weight of the quad of a lane into packed memory. Even bytes before odd ones where they are pairs.
    static MOBILENETS_INLINE void put_weight(char* vector, int lane, int byte, int weight) {
        if constexpr (kVnni) {
            vector[4 * lane + byte] = static_cast<char>(weight);
        } else {
            const auto wide = static_cast<int16_t>(weight);
            std::memcpy(vector + byte % 2 * kBytes + 4 * lane + byte / 2 * 2, &wide, 2);
        }
    }
    static MOBILENETS_INLINE Quads broadcast_weights(const void* p) {
        int32_t pair[2];
        std::memcpy(pair, p, kVnni ? 4 : 8);
        if constexpr (kVnni)
            return _mm512_set1_epi32(pair[0]);
        else
            return {_mm512_set1_epi32(pair[0]), _mm512_set1_epi32(pair[1])};
    }
    static MOBILENETS_INLINE void put_broadcast_weight(char* quad, int byte, int weight) {
        if constexpr (kVnni) {
            quad[byte] = static_cast<char>(weight);
        } else {
            const auto wide = static_cast<int16_t>(weight);
            std::memcpy(quad + byte % 2 * 4 + byte / 2 * 2, &wide, 2);
        }
    }
    static MOBILENETS_INLINE Quads broadcast_activations(const uint8_t* p) {
        int32_t quad;
        std::memcpy(&quad, p, 4);
        return quads(_mm512_set1_epi32(quad));
    }
    static MOBILENETS_INLINE void dot(Int& sum, const Quads& activations, const Quads& weights) {
        if constexpr (kVnni) {
#if defined(MOBILENETS_DOT_IN_PLACE)
            __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(activations), "v"(weights));
#elif defined(__AVX512VNNI__)
            sum = _mm512_dpbusd_epi32(sum, activations, weights);
#endif
        } else {
            sum = _mm512_add_epi32(sum, _mm512_madd_epi16(activations.even, weights.even));
            sum = _mm512_add_epi32(sum, _mm512_madd_epi16(activations.odd, weights.odd));
        }
    }
    // Keeps a value in its register: a sum across the end of a loop, a weight between its uses.
    static MOBILENETS_INLINE void pin(Int& v) {
#if defined(__GNUC__)
        __asm__("" : "+v"(v));
#endif
    }
    static MOBILENETS_INLINE void pin(Float& v) {
#if defined(__GNUC__)
        __asm__("" : "+v"(v));
#endif
    }
    static MOBILENETS_INLINE void pin(Pairs& v) {
        pin(v.even);
        pin(v.odd);
    }

    // Bytes i of four vectors side by side, within 128 bits: quads[m] group g dword e is byte 16 g + 4 m + e of each.
    static MOBILENETS_INLINE void interleave(Int a, Int b, Int c, Int d, Int (&out)[4]) {
        const Int ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
        const Int cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
        out[0] = _mm512_unpacklo_epi16(ab_low, cd_low);
        out[1] = _mm512_unpackhi_epi16(ab_low, cd_low);
        out[2] = _mm512_unpacklo_epi16(ab_high, cd_high);
        out[3] = _mm512_unpackhi_epi16(ab_high, cd_high);
    }
    // The inverse for results, saturating, in two steps: group g of the words is dwords of group g of a and then of b,
    // group g of the bytes is words of group g of ab and then of cd.
    static MOBILENETS_INLINE Int pack_words(Int a, Int b) { return _mm512_packs_epi32(a, b); }
    static MOBILENETS_INLINE Int pack_bytes(Int ab, Int cd) { return _mm512_packus_epi16(ab, cd); }
    static MOBILENETS_INLINE Int add_words(Int a, Int b) { return _mm512_adds_epi16(a, b); }
    static MOBILENETS_INLINE Int clamp_bytes(Int v, Int low, Int high) {
        return _mm512_min_epu8(_mm512_max_epu8(v, low), high);
    }
    // 128-bit groups of `low` and then `high`, from group kFirst on.
    template <int kFirst>
    static MOBILENETS_INLINE Int slide(Int low, Int high) {
        if constexpr (kFirst == 0)
            return low;
        else if constexpr (kFirst == 4)
            return high;
        else
            return _mm512_alignr_epi64(high, low, 2 * kFirst);
    }

    template <int kFirst>
    static MOBILENETS_INLINE Quads slide_quads(const Quads& low, const Quads& high) {
        if constexpr (kVnni)
            return slide<kFirst>(low, high);
        else
            return {slide<kFirst>(low.even, high.even), slide<kFirst>(low.odd, high.odd)};
    }

    // The even and the odd pixels of kGroup groups each in two vectors side by side.
    template <int kGroup>
    static MOBILENETS_INLINE Int even_pixels(Int low, Int high) {
        return _mm512_shuffle_i32x4(low, high, kGroup == 1 ? 0x88 : 0x44);
    }
    template <int kGroup>
    static MOBILENETS_INLINE Int odd_pixels(Int low, Int high) {
        return _mm512_shuffle_i32x4(low, high, kGroup == 1 ? 0xDD : 0xEE);
    }

    // Bytes [begin, end) of those at p, and `fill` elsewhere.
    static MOBILENETS_INLINE Int load_between(const uint8_t* p, int begin, int end, Int fill) {
        const uint64_t below_end = end >= kBytes ? ~uint64_t{0} : (uint64_t{1} << end) - 1;
        return _mm512_mask_loadu_epi8(fill, below_end & (~uint64_t{0} << begin), p);
    }

    // For the first convolution. Lane p of the results holds bytes 6 p to 6 p + 3, 6 p + 4 to 6 p + 7, and in its low
    // word bytes 6 p + 8 and 6 p + 9 of those at p. The first ten lanes come from one vector, the rest from another.
    static MOBILENETS_INLINE void load_windows(const uint8_t* p, Int& first, Int& second, Int& ninth) {
        spread_windows(load(p), load(p + 60), first, second, ninth);
    }
    static MOBILENETS_INLINE void load_windows_between(const uint8_t* p, int begin, int end, int fill_value, Int& first,
                                                       Int& second, Int& ninth) {
        const Int fill = fill_bytes(fill_value);
        spread_windows(load_some(p, begin, end, fill), load_some(p + 60, begin - 60, end - 60, fill), first, second,
                       ninth);
    }
    static MOBILENETS_INLINE Int load_some(const uint8_t* p, int begin, int end, Int fill) {
        if (begin >= kBytes || end <= 0 || begin >= end) return fill;
        return load_between(p, begin < 0 ? 0 : begin, end, fill);
    }
    static MOBILENETS_INLINE void spread_windows(Int low, Int high, Int& first, Int& second, Int& ninth) {
        alignas(64) static constexpr int16_t kFirst[32] = {0,  1,  3,  4,  6, 7, 9, 10, 12, 13, 15, 16, 18, 19, 21, 22,
                                                           24, 25, 27, 28, 0, 1, 3, 4,  6,  7,  9,  10, 12, 13, 15, 16};
        const Int order = load(kFirst);
        const Int two = fill_words(2), four = fill_words(4);
        const __mmask32 rest = 0xFFF00000;
        const Int order_second = _mm512_add_epi16(order, two), order_ninth = _mm512_add_epi16(order, four);
        first = _mm512_mask_permutexvar_epi16(_mm512_permutexvar_epi16(order, low), rest, order, high);
        second = _mm512_mask_permutexvar_epi16(_mm512_permutexvar_epi16(order_second, low), rest, order_second, high);
        ninth = _mm512_mask_permutexvar_epi16(_mm512_permutexvar_epi16(order_ninth, low), rest, order_ninth, high);
    }
    // The lowest bytes of three vectors' lanes in one; the fourth byte is anything.
    static MOBILENETS_INLINE Int join_low_bytes(Int a, Int b, Int c) {
        const Int ab = _mm512_mask_mov_epi8(a, 0x2222222222222222, _mm512_slli_epi16(b, 8));
        return _mm512_mask_mov_epi16(ab, 0xAAAAAAAA, _mm512_slli_epi32(c, 16));
    }
    // Within each group: a 4×4 matrix of bytes transposed.
    static MOBILENETS_INLINE Int transpose_bytes(Int v) {
        return _mm512_shuffle_epi8(
            v, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
    }
    // Within each group: dword j of four vectors side by side in out[j].
    static MOBILENETS_INLINE void transpose_dwords(const Int (&v)[4], Int (&out)[4]) {
        const Int a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpackhi_epi32(v[0], v[1]);
        const Int c = _mm512_unpacklo_epi32(v[2], v[3]), d = _mm512_unpackhi_epi32(v[2], v[3]);
        out[0] = _mm512_unpacklo_epi64(a, c);
        out[1] = _mm512_unpackhi_epi64(a, c);
        out[2] = _mm512_unpacklo_epi64(b, d);
        out[3] = _mm512_unpackhi_epi64(b, d);
    }
    static MOBILENETS_INLINE void interleave_dwords(Int a, Int b, Int (&out)[2]) {
        out[0] = _mm512_unpacklo_epi32(a, b);
        out[1] = _mm512_unpackhi_epi32(a, b);
    }
    static MOBILENETS_INLINE Int upper_halves(Int v) { return _mm512_unpackhi_epi64(v, v); }
    // The first `bytes` bytes of the first `groups` groups, `stride` apart.
    static MOBILENETS_INLINE void store_groups(uint8_t* p, ptrdiff_t stride, Int v, int groups, int bytes) {
        if (groups == 4 && bytes == 16) {
            const auto put = [&](int group, __m128i part) {
                _mm_storeu_si128(reinterpret_cast<__m128i*>(p + group * stride), part);
            };
            put(0, _mm512_castsi512_si128(v));
            put(1, _mm512_extracti32x4_epi32(v, 1));
            put(2, _mm512_extracti32x4_epi32(v, 2));
            put(3, _mm512_extracti32x4_epi32(v, 3));
            return;
        }
        const __mmask16 mask = __mmask16((1u << bytes) - 1);
        if (groups > 0) _mm_mask_storeu_epi8(p, mask, _mm512_castsi512_si128(v));
        if (groups > 1) _mm_mask_storeu_epi8(p + stride, mask, _mm512_extracti32x4_epi32(v, 1));
        if (groups > 2) _mm_mask_storeu_epi8(p + 2 * stride, mask, _mm512_extracti32x4_epi32(v, 2));
        if (groups > 3) _mm_mask_storeu_epi8(p + 3 * stride, mask, _mm512_extracti32x4_epi32(v, 3));
    }

    static MOBILENETS_INLINE void store_bytes(uint8_t* p, Int v, int count) {
        if (count >= kBytes)
            _mm512_storeu_si512(p, v);
        else
            _mm512_mask_storeu_epi8(p, (uint64_t{1} << count) - 1, v);
    }
    static MOBILENETS_INLINE void store_floats(float* p, Float v, int count) {
        _mm512_mask_storeu_ps(p, count >= kLanes ? __mmask16(0xFFFF) : __mmask16((1u << count) - 1), v);
    }

    // Stores what `pack` made of 4 / kVectors rows of kVectors vectors: `rows` rows of `count` bytes.
    template <int kVectors>
    static MOBILENETS_INLINE void store_rows(uint8_t* out, ptrdiff_t stride, Int v, int rows, int count) {
        if constexpr (kVectors == 4) {
            store_bytes(out, v, count);
        } else if constexpr (kVectors == 3) {
            const Int order = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15);
            store_bytes(out, _mm512_permutexvar_epi32(order, v), count);
        } else if constexpr (kVectors == 2) {
            const Int order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
            v = _mm512_permutexvar_epi64(order, v);
            const __m256i first = _mm512_castsi512_si256(v), second = _mm512_extracti64x4_epi64(v, 1);
            if (count == 32) {
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), first);
                if (rows > 1) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + stride), second);
            } else {
                const __mmask32 mask = (1u << count) - 1;
                _mm256_mask_storeu_epi8(out, mask, first);
                if (rows > 1) _mm256_mask_storeu_epi8(out + stride, mask, second);
            }
        } else {
            const Int order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            v = _mm512_permutexvar_epi32(order, v);
            if (rows == 4 && count == 16 && stride == 16) {
                _mm512_storeu_si512(out, v);
            } else {
                const __mmask16 mask = __mmask16((1u << count) - 1);
                _mm_mask_storeu_epi8(out, mask, _mm512_castsi512_si128(v));
                if (rows > 1) _mm_mask_storeu_epi8(out + stride, mask, _mm512_extracti32x4_epi32(v, 1));
                if (rows > 2) _mm_mask_storeu_epi8(out + 2 * stride, mask, _mm512_extracti32x4_epi32(v, 2));
                if (rows > 3) _mm_mask_storeu_epi8(out + 3 * stride, mask, _mm512_extracti32x4_epi32(v, 3));
            }
        }
    }
};

}  // namespace
}  // namespace mobilenets
