// The 256-bit vectors of AVX2 (with FMA), with the dot products of AVX-VNNI or without. Says what avx512.h says.
#pragma once

#include <immintrin.h>

#include "simd.h"

namespace mobilenets {
namespace {

template <bool kVnni>
struct Avx2 {
    static constexpr int kLanes = 8, kBytes = 32, kGroups = 2, kStemBlocks = 1;
    static constexpr bool kOrdersPixels = false;  // see stem.h
    using Int = __m256i;
    using Float = __m256;

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

    static MOBILENETS_INLINE Int load(const void* p) { return _mm256_loadu_si256(static_cast<const Int*>(p)); }
    static MOBILENETS_INLINE Float load_float(const void* p) { return _mm256_loadu_ps(static_cast<const float*>(p)); }
    static MOBILENETS_INLINE void store(void* p, Int v) { _mm256_storeu_si256(static_cast<Int*>(p), v); }
    static MOBILENETS_INLINE Int zero() { return _mm256_setzero_si256(); }
    static MOBILENETS_INLINE Int fill_bytes(int value) { return _mm256_set1_epi8(static_cast<char>(value)); }
    static MOBILENETS_INLINE Int fill_words(int value) { return _mm256_set1_epi16(static_cast<short>(value)); }
    static MOBILENETS_INLINE Int fill(int value) { return _mm256_set1_epi32(value); }
    static MOBILENETS_INLINE Float fill_float(float value) { return _mm256_set1_ps(value); }
    static MOBILENETS_INLINE Int subtract(Int a, Int b) { return _mm256_sub_epi32(a, b); }
    static MOBILENETS_INLINE Int max_bytes(Int a, Int b) { return _mm256_max_epu8(a, b); }
    static MOBILENETS_INLINE Float to_float(Int v) { return _mm256_cvtepi32_ps(v); }
    static MOBILENETS_INLINE Int round(Float v) { return _mm256_cvtps_epi32(v); }
    static MOBILENETS_INLINE Float multiply(Float a, Float b) { return _mm256_mul_ps(a, b); }
    static MOBILENETS_INLINE Float add_float(Float a, Float b) { return _mm256_add_ps(a, b); }
    static MOBILENETS_INLINE Float multiply_add(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
    static MOBILENETS_INLINE Float as_float(Int v) { return _mm256_castsi256_ps(v); }
    static MOBILENETS_INLINE Float clamp(Float v, Float low, Float high) {
        return _mm256_min_ps(_mm256_max_ps(v, low), high);
    }

    static MOBILENETS_INLINE Quads quads(Int v) {
        if constexpr (kVnni)
            return v;
        else
            return {_mm256_and_si256(v, _mm256_set1_epi16(255)), _mm256_srli_epi16(v, 8)};
    }
    static MOBILENETS_INLINE Quads load_weights(const void* p) {
        if constexpr (kVnni)
            return load(p);
        else
            return {load(p), load(static_cast<const char*>(p) + kBytes)};
    }
    static constexpr int kStep = kVnni ? 4 : 2;
    static MOBILENETS_INLINE Int broadcast_step(const uint8_t* p) {
        int32_t step;
        std::memcpy(&step, p, 4);
        return _mm256_set1_epi32(step);
    }
    static MOBILENETS_INLINE void step(Int& sum, Int activations, Int weights) {
        if constexpr (kVnni)
            dot(sum, activations, weights);
        else
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(activations, weights));
    }
    static MOBILENETS_INLINE void put_step_weight(char* vector, int lane, int k, int weight) {
        if constexpr (kVnni) {
            vector[4 * lane + k] = static_cast<char>(weight);
        } else {
            const auto wide = static_cast<int16_t>(weight);
            std::memcpy(vector + 4 * lane + 2 * k, &wide, 2);
        }
    }
    static MOBILENETS_INLINE Int add(Int a, Int b) { return _mm256_add_epi32(a, b); }
    // sum += a · b in pairs of words. In place, as `dot` is in simd.h: compilers like to make many products first, and
    // to keep them on the stack until they add them.
    static MOBILENETS_INLINE void dot_words(Int& sum, Int a, Int b) {
#if defined(__GNUC__)
        Int product;
        __asm__("vpmaddwd %[b], %[a], %[product]\n\tvpaddd %[product], %[sum], %[sum]"
                : [sum] "+x"(sum), [product] "=&x"(product)
                : [a] "x"(a), [b] "x"(b));
#else
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
#endif
    }
    // sum[n] += (x_even + odd[n]) · (x_odd + even[n]) in pairs of words, x being the two dwords at p.
    static MOBILENETS_INLINE void add_products_of_sums(Int (&sum)[2], const uint8_t* p, const Int (&odd)[2],
                                                       const Int (&even)[2]) {
#if defined(__GNUC__)
        // In this order, because Zen deals instructions out to its ports as they come; and in assembly, because
        // compilers move the additions to the sums apart, for which there are no registers.
        struct __attribute__((may_alias, packed)) Dword {
            int32_t value;
        };
        const auto* x = reinterpret_cast<const Dword*>(p);
        Int a, b, c, d;
        __asm__(
            "vpbroadcastd %[x_even], %[a]\n\t"
            "vpaddw %[odd0], %[a], %[c]\n\t"
            "vpaddw %[odd1], %[a], %[a]\n\t"
            "vpbroadcastd %[x_odd], %[b]\n\t"
            "vpaddw %[even0], %[b], %[d]\n\t"
            "vpaddw %[even1], %[b], %[b]\n\t"
            "vpmaddwd %[c], %[d], %[c]\n\t"
            "vpmaddwd %[a], %[b], %[a]\n\t"
            "vpaddd %[c], %[sum0], %[sum0]\n\t"
            "vpaddd %[a], %[sum1], %[sum1]"
            : [sum0] "+x"(sum[0]), [sum1] "+x"(sum[1]), [a] "=&x"(a), [b] "=&x"(b), [c] "=&x"(c), [d] "=&x"(d)
            : [x_even] "m"(x[0]), [x_odd] "m"(x[1]), [odd0] "x"(odd[0]), [odd1] "x"(odd[1]), [even0] "x"(even[0]),
              [even1] "x"(even[1]));
#else
        const Int x_even = broadcast_step(p), x_odd = broadcast_step(p + 4);
        for (int n = 0; n < 2; ++n) {
            const Int a = _mm256_add_epi16(x_even, odd[n]), b = _mm256_add_epi16(x_odd, even[n]);
            dot_words(sum[n], a, b);
        }
#endif
    }
    static MOBILENETS_INLINE int32_t sum_lanes(Int v) {
        const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
        const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
        return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
    }
    // Dwords of a and b in turns.
    static MOBILENETS_INLINE void store_alternating(uint8_t* p, Int a, Int b) {
        const Int low = _mm256_unpacklo_epi32(a, b), high = _mm256_unpackhi_epi32(a, b);
        store(p, _mm256_permute2x128_si256(low, high, 0x20));
        store(p + kBytes, _mm256_permute2x128_si256(low, high, 0x31));
    }
    static MOBILENETS_INLINE Int widen_signed(const char* p) {
        return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static MOBILENETS_INLINE void prefetch(const char* p) { _mm_prefetch(p, _MM_HINT_T1); }
    static MOBILENETS_INLINE Int widen(const uint8_t* p) {
        return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
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
            return _mm256_set1_epi32(pair[0]);
        else
            return {_mm256_set1_epi32(pair[0]), _mm256_set1_epi32(pair[1])};
    }
    static MOBILENETS_INLINE void put_broadcast_weight(char* quad, int byte, int weight) {
        if constexpr (kVnni) {
            quad[byte] = static_cast<char>(weight);
        } else {
            const auto wide = static_cast<int16_t>(weight);
            std::memcpy(quad + byte % 2 * 4 + byte / 2 * 2, &wide, 2);
        }
    }
    static MOBILENETS_INLINE void dot(Int& sum, const Quads& activations, const Quads& weights) {
        if constexpr (kVnni) {
#if defined(MOBILENETS_DOT_IN_PLACE)
            __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(activations), "x"(weights));
#elif defined(__AVXVNNI__) || defined(_MSC_VER)
            sum = _mm256_dpbusd_avx_epi32(sum, activations, weights);
#endif
        } else {
            dot_words(sum, activations.even, weights.even);
            dot_words(sum, activations.odd, weights.odd);
        }
    }
    static MOBILENETS_INLINE void pin(Int& v) {
#if defined(__GNUC__)
        __asm__("" : "+x"(v));
#endif
    }
    static MOBILENETS_INLINE void pin(Float& v) {
#if defined(__GNUC__)
        __asm__("" : "+x"(v));
#endif
    }
    // Two registers a vector are more than there are: the compiler may load weights again.
    static MOBILENETS_INLINE void pin(Pairs&) {}

    static MOBILENETS_INLINE void interleave(Int a, Int b, Int c, Int d, Int (&out)[4]) {
        const Int ab_low = _mm256_unpacklo_epi8(a, b), ab_high = _mm256_unpackhi_epi8(a, b);
        const Int cd_low = _mm256_unpacklo_epi8(c, d), cd_high = _mm256_unpackhi_epi8(c, d);
        out[0] = _mm256_unpacklo_epi16(ab_low, cd_low);
        out[1] = _mm256_unpackhi_epi16(ab_low, cd_low);
        out[2] = _mm256_unpacklo_epi16(ab_high, cd_high);
        out[3] = _mm256_unpackhi_epi16(ab_high, cd_high);
    }
    static MOBILENETS_INLINE Int pack_words(Int a, Int b) { return _mm256_packs_epi32(a, b); }
    static MOBILENETS_INLINE Int pack_bytes(Int ab, Int cd) { return _mm256_packus_epi16(ab, cd); }
    static MOBILENETS_INLINE Int add_words(Int a, Int b) { return _mm256_adds_epi16(a, b); }
    static MOBILENETS_INLINE Int clamp_bytes(Int v, Int low, Int high) {
        return _mm256_min_epu8(_mm256_max_epu8(v, low), high);
    }
    template <int kFirst>
    static MOBILENETS_INLINE Int slide(Int low, Int high) {
        if constexpr (kFirst == 0)
            return low;
        else if constexpr (kFirst == 2)
            return high;
        else
            return _mm256_permute2x128_si256(low, high, 0x21);
    }
    template <int kFirst>
    static MOBILENETS_INLINE Quads slide_quads(const Quads& low, const Quads& high) {
        if constexpr (kVnni)
            return slide<kFirst>(low, high);
        else
            return {slide<kFirst>(low.even, high.even), slide<kFirst>(low.odd, high.odd)};
    }
    template <int kGroup>
    static MOBILENETS_INLINE Int even_pixels(Int low, Int high) {
        static_assert(kGroup == 1, "two groups are one pixel a vector");
        return _mm256_permute2x128_si256(low, high, 0x20);
    }
    template <int kGroup>
    static MOBILENETS_INLINE Int odd_pixels(Int low, Int high) {
        return _mm256_permute2x128_si256(low, high, 0x31);
    }

    static MOBILENETS_INLINE Int load_between(const uint8_t* p, int begin, int end, Int fill) {
        const Int index = _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                           22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
        const Int before = _mm256_cmpgt_epi8(fill_bytes(begin), index);
        const Int inside = _mm256_cmpgt_epi8(fill_bytes(end < kBytes ? end : kBytes), index);
        return _mm256_blendv_epi8(fill, load(p), _mm256_andnot_si256(before, inside));
    }
    // The first `count` bytes, and zeros behind them.
    static MOBILENETS_INLINE Int load_first(const uint8_t* p, int count) {
        return count >= kBytes ? load(p) : load_between(p, 0, count, zero());
    }
    static MOBILENETS_INLINE void load_windows(const uint8_t* p, Int& first, Int& second, Int& ninth) {
        const auto pixels = [](const uint8_t* even, const uint8_t* odd) {
            return _mm256_inserti128_si256(
                _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(even))),
                _mm_loadu_si128(reinterpret_cast<const __m128i*>(odd)), 1);
        };
        const Int a = pixels(p, p + 24), b = pixels(p + 12, p + 36);
        const Int eight = _mm256_setr_epi8(0, 1, 2, 3, 6, 7, 8, 9, 4, 5, 6, 7, 10, 11, 12, 13, 0, 1, 2, 3, 6, 7, 8, 9,
                                           4, 5, 6, 7, 10, 11, 12, 13);
        const Int one = _mm256_setr_epi8(8, -1, -1, -1, 14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 8, -1, -1, -1,
                                         14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
        const Int a_eight = _mm256_shuffle_epi8(a, eight), b_eight = _mm256_shuffle_epi8(b, eight);
        first = _mm256_unpacklo_epi64(a_eight, b_eight);
        second = _mm256_unpackhi_epi64(a_eight, b_eight);
        ninth = _mm256_unpacklo_epi64(_mm256_shuffle_epi8(a, one), _mm256_shuffle_epi8(b, one));
    }
    static MOBILENETS_INLINE void load_windows_between(const uint8_t* p, int begin, int end, int fill_value, Int& first,
                                                       Int& second, Int& ninth) {
        constexpr int kSpan = 64;
        uint8_t bytes[kSpan];
        std::memset(bytes, fill_value, kSpan);
        const int from = begin < 0 ? 0 : begin, to = end < kSpan ? end : kSpan;
        if (from < to) std::memcpy(bytes + from, p + from, static_cast<size_t>(to - from));
        load_windows(bytes, first, second, ninth);
    }
    static MOBILENETS_INLINE Int join_low_bytes(Int a, Int b, Int c) {
        return _mm256_or_si256(_mm256_or_si256(a, _mm256_slli_epi32(b, 8)), _mm256_slli_epi32(c, 16));
    }
    static MOBILENETS_INLINE Int transpose_bytes(Int v) {
        return _mm256_shuffle_epi8(
            v, _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)));
    }
    static MOBILENETS_INLINE void transpose_dwords(const Int (&v)[4], Int (&out)[4]) {
        const Int a = _mm256_unpacklo_epi32(v[0], v[1]), b = _mm256_unpackhi_epi32(v[0], v[1]);
        const Int c = _mm256_unpacklo_epi32(v[2], v[3]), d = _mm256_unpackhi_epi32(v[2], v[3]);
        out[0] = _mm256_unpacklo_epi64(a, c);
        out[1] = _mm256_unpackhi_epi64(a, c);
        out[2] = _mm256_unpacklo_epi64(b, d);
        out[3] = _mm256_unpackhi_epi64(b, d);
    }
    static MOBILENETS_INLINE void interleave_dwords(Int a, Int b, Int (&out)[2]) {
        out[0] = _mm256_unpacklo_epi32(a, b);
        out[1] = _mm256_unpackhi_epi32(a, b);
    }
    static MOBILENETS_INLINE Int upper_halves(Int v) { return _mm256_unpackhi_epi64(v, v); }

    // `count` < 16 bytes in pieces, as there are no stores under a mask of bytes.
    static MOBILENETS_INLINE void store_pieces(uint8_t* p, __m128i v, int count) {
        if (count & 8) {
            _mm_storel_epi64(reinterpret_cast<__m128i*>(p), v);
            v = _mm_srli_si128(v, 8);
            p += 8;
        }
        if (count & 4) {
            const int four = _mm_cvtsi128_si32(v);
            std::memcpy(p, &four, 4);
            v = _mm_srli_si128(v, 4);
            p += 4;
        }
        if (count & 2) {
            const auto two = static_cast<int16_t>(_mm_extract_epi16(v, 0));
            std::memcpy(p, &two, 2);
            v = _mm_srli_si128(v, 2);
            p += 2;
        }
        if (count & 1) *p = static_cast<uint8_t>(_mm_extract_epi8(v, 0));
    }
    static MOBILENETS_INLINE void store_half(uint8_t* p, __m128i v, int count) {
        if (count >= 16)
            _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v);
        else
            store_pieces(p, v, count);
    }
    static MOBILENETS_INLINE void store_bytes(uint8_t* p, Int v, int count) {
        if (count >= kBytes) return store(p, v);
        store_half(p, _mm256_castsi256_si128(v), count);
        if (count > 16) store_half(p + 16, _mm256_extracti128_si256(v, 1), count - 16);
    }
    static MOBILENETS_INLINE void store_floats(float* p, Float v, int count) {
        if (count >= kLanes) return _mm256_storeu_ps(p, v);
        float values[kLanes];
        _mm256_storeu_ps(values, v);
        std::memcpy(p, values, static_cast<size_t>(count) * sizeof(float));
    }
    static MOBILENETS_INLINE void store_groups(uint8_t* p, ptrdiff_t stride, Int v, int groups, int bytes) {
        if (groups > 0) store_half(p, _mm256_castsi256_si128(v), bytes);
        if (groups > 1) store_half(p + stride, _mm256_extracti128_si256(v, 1), bytes);
    }
    template <int kVectors>
    static MOBILENETS_INLINE void store_rows(uint8_t* out, ptrdiff_t stride, Int v, int rows, int count) {
        if constexpr (kVectors == 4) {
            store_bytes(out, v, count);
        } else if constexpr (kVectors == 3) {
            store_bytes(out, _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7)), count);
        } else if constexpr (kVectors == 2) {
            v = _mm256_permute4x64_epi64(v, 0xD8);
            store_half(out, _mm256_castsi256_si128(v), count);
            if (rows > 1) store_half(out + stride, _mm256_extracti128_si256(v, 1), count);
        } else {
            v = _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
            const __m128i first = _mm256_castsi256_si128(v), second = _mm256_extracti128_si256(v, 1);
            store_pieces(out, first, count);
            if (rows > 1) store_pieces(out + stride, _mm_srli_si128(first, 8), count);
            if (rows > 2) store_pieces(out + 2 * stride, second, count);
            if (rows > 3) store_pieces(out + 3 * stride, _mm_srli_si128(second, 8), count);
        }
    }
};

}  // namespace
}  // namespace mobilenets
