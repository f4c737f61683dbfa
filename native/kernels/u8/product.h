// How the tiles of pointwise.h multiply: what one step of the inner product does, and what form it wants its
// operands in. A Product has
//   kInputs        input channels of a step
//   kWeightBytes   bytes of weights of a step, for one vector of output channels
//   kStepBytes     bytes of a pixel's values of a step
//   kLeastChannels input channels from which on it pays
//   kPrefetches    whether the next panel is worth fetching
//   kPrepares      whether pixels must be prepared, into rows of `prepared_bytes`; values begin at kFirstStep
#pragma once

#include "kernels/simd/simd.h"

namespace mobilenets {
namespace {

// Σ x · w with dot products of four bytes, or of two 16-bit words into which `prepare` widens the bytes.
template <class S>
struct DirectProduct {
    using Int = typename S::Int;
    static constexpr int kInputs = S::kStep, kWeightBytes = S::kBytes, kStepBytes = 4, kFirstStep = 0,
                         kLeastChannels = 1;
    static constexpr bool kPrepares = S::kStep != 4, kPrefetches = false;

    static ptrdiff_t prepared_bytes(int32_t channels) { return (channels * 2 + S::kBytes - 1) / S::kBytes * S::kBytes; }
    static void prepare(const uint8_t* from, int32_t channels, uint8_t* to) {
        for (int32_t k = 0; k < channels; k += S::kBytes / 2) S::store(to + 2 * k, S::widen(from + k));
    }
    static void put_weight(char* vector, int lane, int k, int weight) { S::put_step_weight(vector, lane, k, weight); }
    template <class Weight>
    static uint32_t weights_alone(int32_t, const Weight&) {
        return 0;
    }
    static MOBILENETS_INLINE Int start(Int bias, const uint8_t*) { return bias; }
    template <int kRows, int kVectors>
    static MOBILENETS_INLINE void step(Int (&sum)[kRows][kVectors], const uint8_t* in, ptrdiff_t in_stride,
                                       const char* weights) {
        Int w[kVectors];
        MOBILENETS_UNROLL for (int n = 0; n < kVectors; ++n) w[n] = S::load(weights + n * S::kBytes);
        MOBILENETS_UNROLL for (int m = 0; m < kRows; ++m) {
            const Int x = S::broadcast_step(in + m * in_stride);
            MOBILENETS_UNROLL for (int n = 0; n < kVectors; ++n) S::step(sum[m][n], x, w[n]);
        }
    }
};

// The same on 16-bit words, with weights that are bytes in memory and are widened as they are loaded: for layers of one
// pixel, which take as long as it takes to read their weights.
template <class S>
struct ByteWeightProduct : DirectProduct<S> {
    using Int = typename S::Int;
    static_assert(S::kStep == 2, "weights are widened to words");
    static constexpr int kWeightBytes = S::kBytes / 2;

    static void put_weight(char* vector, int lane, int k, int weight) {
        vector[2 * lane + k] = static_cast<char>(weight);
    }
    template <int kRows, int kVectors>
    static MOBILENETS_INLINE void step(Int (&sum)[kRows][kVectors], const uint8_t* in, ptrdiff_t in_stride,
                                       const char* weights) {
        MOBILENETS_UNROLL for (int n = 0; n < kVectors; ++n) {
            const Int w = S::widen_signed(weights + n * kWeightBytes);
            MOBILENETS_UNROLL for (int m = 0; m < kRows; ++m)
                S::step(sum[m][n], S::broadcast_step(in + m * in_stride), w);
        }
    }
};

// Half as many multiplications, after Winograd (1968, "A new algorithm for inner product"):
//     x₀ w₀ + x₁ w₁ = (x₀ + w₁) (x₁ + w₀) − x₀ x₁ − w₀ w₁.
// The last term is a constant of the output channel and goes into its bias; the one before it depends on the pixel
// alone and is made once for all output channels. 16-bit words hold the sums of bytes, and int32 sums that wrap on the
// way are right at the end. What is saved in multiplications is paid in additions, one for one: it pays where a
// processor adds in more of its ports than it multiplies in, as all of Zen's do, and has no dot products of bytes.
//
// Two steps of four input channels are one of the loop. Prepared: minus the pixel's own term, then for every four
// values words of the even ones and words of the odd.
template <class S>
struct ProductOfSums {
    using Int = typename S::Int;
    static constexpr int kInputs = 8, kWeightBytes = 4 * S::kBytes, kStepBytes = 16, kFirstStep = 64,
                         kLeastChannels = 40;
    static constexpr bool kPrepares = true, kPrefetches = true;

    static ptrdiff_t prepared_bytes(int32_t channels) {
        return kFirstStep + (2 * static_cast<ptrdiff_t>(channels) + 63) / 64 * 64;
    }
    static void prepare(const uint8_t* from, int32_t channels, uint8_t* to) {
        Int products = S::zero();
        uint8_t* out = to + kFirstStep;
        for (int32_t k = 0; k < channels; k += S::kBytes, out += 2 * S::kBytes) {
            const Int bytes = S::load_first(from + k, channels - k);  // zeros behind the last: they are multiplied too
            const auto words = S::quads(bytes);
            S::dot_words(products, words.even, words.odd);
            S::store_alternating(out, words.even, words.odd);
        }
        const int32_t own = -S::sum_lanes(products);
        std::memcpy(to, &own, 4);
    }
    static void put_weight(char* vector, int lane, int k, int weight) {
        const auto word = static_cast<int16_t>(weight);
        // even values are added to the weights of odd ones, and the other way round
        std::memcpy(vector + k / 4 * 2 * S::kBytes + (k % 2 == 0 ? S::kBytes : 0) + 4 * lane + k % 4 / 2 * 2, &word, 2);
    }
    // Σ of the products of neighbouring weights.
    template <class Weight>
    static uint32_t weights_alone(int32_t channels, const Weight& weight) {
        int64_t sum = 0;
        for (int32_t k = 0; k < channels; k += 2) sum += int64_t{weight(k)} * weight(k + 1);
        return static_cast<uint32_t>(sum);
    }
    static MOBILENETS_INLINE Int start(Int bias, const uint8_t* prepared) {
        return S::add(bias, S::broadcast_step(prepared));
    }
    template <int kRows, int kVectors>
    static MOBILENETS_INLINE void step(Int (&sum)[kRows][kVectors], const uint8_t* in, ptrdiff_t in_stride,
                                       const char* weights) {
        four<kRows, kVectors>(sum, in, in_stride, weights);
        four<kRows, kVectors>(sum, in + 8, in_stride, weights + 2 * S::kBytes);
    }
    template <int kRows, int kVectors>
    static MOBILENETS_INLINE void four(Int (&sum)[kRows][kVectors], const uint8_t* in, ptrdiff_t in_stride,
                                       const char* weights) {
        Int odd[kVectors], even[kVectors];
        MOBILENETS_UNROLL for (int n = 0; n < kVectors; ++n) {
            odd[n] = S::load(weights + n * kWeightBytes);
            even[n] = S::load(weights + n * kWeightBytes + S::kBytes);
        }
        MOBILENETS_UNROLL for (int n = 0; n < kVectors; ++n) {
            S::pin(odd[n]);
            S::pin(even[n]);
        }
        MOBILENETS_UNROLL for (int m = 0; m < kRows; ++m)
            S::add_products_of_sums(sum[m], in + m * in_stride, odd, even);
    }
};

}  // namespace
}  // namespace mobilenets
