// From int32 sums to results: what the uint8 kernels do after their dot products.
//
// A result is  clamp(rint(float(acc) · multiplier) + zero_point, low, high).  Where zero_point and low are 0 and high
// is 255, as after nearly every ReLU, saturating packs clamp, and the conversion to float costs nothing: sums start at
// bias + 0x4B000000, the bits of 2^23, so that the bits of a sum from 0 to 2^23 read as float are 2^23 + acc, and
//     fma(bits, multiplier, −2^23 · multiplier) = round(acc · multiplier),
// because 2^23 · multiplier is exact. A negative sum reads as a smaller float, gives a negative product and
// saturates to 0. A sum of 2^23 or more reads as a larger float than it is, which is right too if it saturates to 255
// anyway. `relu_is_exact` checks at packing that this holds for every input.
#pragma once

#include "kernels.h"
#include "kernels/simd/simd.h"

namespace mobilenets {
namespace {

enum class Finish : int32_t { kRelu, kBytes, kReal };

constexpr int32_t kTwoTo23Bits = 0x4B000000;
constexpr float kTwoTo23 = 8388608.0f;

// First 64 bytes of packed memory.
struct Header {
    Finish finish;
    int32_t unused[15];
};
static_assert(sizeof(Header) == 64, "packed memory stays aligned behind its header");

// What every sum of one channel can be.
struct Range {
    int64_t low, high;
    MOBILENETS_INLINE void add(int32_t weight) { (weight < 0 ? low : high) += int64_t{255} * weight; }
};

inline bool relu_is_exact(Range sums, float multiplier) {
    // Far from where the biased sum would stop being a positive float, and its product an int32.
    if (sums.low < -(int64_t{1} << 30) || sums.high > (int64_t{1} << 28)) return false;
    if (sums.high < (int64_t{1} << 23)) return true;
    const auto bits = static_cast<int32_t>(sums.high + kTwoTo23Bits);
    float largest;
    std::memcpy(&largest, &bits, sizeof largest);
    return multiplier * kTwoTo23 >= 256.0f && largest * multiplier < 1073741824.0f;
}

inline Finish plain_finish(const Operation& op) {
    if (op.real_output) return Finish::kReal;
    return op.out_zero_point == 0 && op.low == 0 && op.high == 255 ? Finish::kRelu : Finish::kBytes;
}

// Parameters of `vectors` vectors of channels: all biases, then all multipliers, then all offsets.
template <class S>
struct Parameters {
    static constexpr size_t bytes(int vectors) { return size_t{3} * static_cast<size_t>(vectors * S::kBytes); }

    static void put(char* at, int vectors, int index, int32_t bias, float multiplier, Finish finish) {
        const float offset = finish == Finish::kRelu ? -kTwoTo23 * multiplier : 0.0f;
        const int32_t start =
            finish == Finish::kRelu ? static_cast<int32_t>(static_cast<uint32_t>(bias) + uint32_t{kTwoTo23Bits}) : bias;
        std::memcpy(at + 4 * index, &start, 4);
        std::memcpy(at + vectors * S::kBytes + 4 * index, &multiplier, 4);
        std::memcpy(at + 2 * vectors * S::kBytes + 4 * index, &offset, 4);
    }
};

template <class S, int kVectors>
struct ReluRounding {
    const char* parameters;  // read again for every row: sums need the registers

    MOBILENETS_INLINE ReluRounding(const char* at, const Operation&) : parameters(at) {}
    // The rounding of vector n.
    MOBILENETS_INLINE auto of(int n) const {
        auto multiplier = S::load_float(parameters + (kVectors + n) * S::kBytes);
        auto offset = S::load_float(parameters + (2 * kVectors + n) * S::kBytes);
        S::pin(multiplier);
        S::pin(offset);
        return [multiplier, offset](typename S::Int sum) {
            return S::round(S::multiply_add(S::as_float(sum), multiplier, offset));
        };
    }
    MOBILENETS_INLINE typename S::Int round(typename S::Int sum, int n) const {
        const auto multiplier = S::load_float(parameters + (kVectors + n) * S::kBytes);
        const auto offset = S::load_float(parameters + (2 * kVectors + n) * S::kBytes);
        return S::round(S::multiply_add(S::as_float(sum), multiplier, offset));
    }
    MOBILENETS_INLINE typename S::Int words(typename S::Int a, typename S::Int b) const { return S::pack_words(a, b); }
    MOBILENETS_INLINE typename S::Int bytes(typename S::Int ab, typename S::Int cd) const {
        return S::pack_bytes(ab, cd);
    }
};

template <class S, int kVectors>
struct ByteRounding {
    const char* parameters;
    typename S::Int zero_point, low, high;

    MOBILENETS_INLINE ByteRounding(const char* at, const Operation& op)
        : parameters(at),
          zero_point(S::fill_words(op.out_zero_point)),
          low(S::fill_bytes(op.low)),
          high(S::fill_bytes(op.high)) {}
    MOBILENETS_INLINE auto of(int n) const {
        auto multiplier = S::load_float(parameters + (kVectors + n) * S::kBytes);
        S::pin(multiplier);
        return [multiplier](typename S::Int sum) { return S::round(S::multiply(S::to_float(sum), multiplier)); };
    }
    MOBILENETS_INLINE typename S::Int round(typename S::Int sum, int n) const {
        const auto multiplier = S::load_float(parameters + (kVectors + n) * S::kBytes);
        return S::round(S::multiply(S::to_float(sum), multiplier));
    }
    MOBILENETS_INLINE typename S::Int words(typename S::Int a, typename S::Int b) const {
        return S::add_words(S::pack_words(a, b), zero_point);
    }
    MOBILENETS_INLINE typename S::Int bytes(typename S::Int ab, typename S::Int cd) const {
        return S::clamp_bytes(S::pack_bytes(ab, cd), low, high);
    }
};

// Byte of a packed row of kVectors vectors that lane `lane` of vector n ends up in.
template <class S>
MOBILENETS_INLINE int packed_position(int vectors, int n, int lane) {
    return lane / 4 * 4 * vectors + n * 4 + lane % 4;
}

// Rounds, packs and stores kRows rows of kVectors vectors of sums.
template <class S, int kRows, int kVectors, class Rounding>
MOBILENETS_INLINE void store_tile(const typename S::Int (&sum)[kRows][kVectors], const Rounding& r, uint8_t* out,
                                  ptrdiff_t stride, int columns) {
    constexpr int kGroup = kVectors == 3 ? 1 : 4 / kVectors;
    // Vector by vector, so that its parameters are loaded once for all rows; two vectors leave too few registers for
    // it.
    constexpr bool kVectorByVector = kVectors != 2;
    typename S::Int rounded[kRows][kVectors];
    MOBILENETS_UNROLL for (int n = 0; n < kVectors && kVectorByVector; ++n) {
        const auto round = r.of(n);
        MOBILENETS_UNROLL for (int m = 0; m < kRows; ++m) rounded[m][n] = round(sum[m][n]);
    }
    MOBILENETS_UNROLL for (int m = 0; m < kRows; m += kGroup) {
        typename S::Int v[4];
        MOBILENETS_UNROLL for (int i = 0; i < 4; ++i) {
            const int row = kVectors == 3 ? 0 : i / kVectors, n = kVectors == 3 ? (i < 3 ? i : 2) : i % kVectors;
            const int at = m + row < kRows ? m + row : m;
            if constexpr (kVectorByVector)
                v[i] = m + row < kRows ? rounded[at][n] : v[i >= kVectors ? i - kVectors : 0];
            else
                v[i] = m + row < kRows ? r.round(sum[at][n], n) : v[i >= kVectors ? i - kVectors : 0];
        }
        S::template store_rows<kVectors>(out + m * stride, stride, r.bytes(r.words(v[0], v[1]), r.words(v[2], v[3])),
                                         kRows - m < kGroup ? kRows - m : kGroup, columns);
    }
}

}  // namespace
}  // namespace mobilenets
