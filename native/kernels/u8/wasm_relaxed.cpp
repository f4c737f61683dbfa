// Products over uint8 by relaxed dot products. What these make of a second factor whose highest bit is set is the
// processor's own: Arm takes it as a sign; x86 does not, and adds two products in 16 bits, which saturate, but for
// processors with AVX-VNNI. So it is tried out, and each has kernels that give the same sums.
#include <wasm_simd128.h>

#include <cstring>

#include "kernels.h"
#include "wasm_pointwise.h"

namespace mobilenets {
namespace {

enum class Second { kSigned, kUnsigned, kSaturating, kOther };

// The sums of 255 · weight + 255 · weight (+ both again), at weights that saturate 16 bits where anything does.
Second second_factor() {
    volatile int8_t weight = 127;
    volatile uint8_t value = 255;
    const v128_t weights = wasm_i8x16_splat(weight), values = wasm_u8x16_splat(value), zero = wasm_i32x4_splat(0);
    const int32_t four = wasm_i32x4_extract_lane(wasm_i32x4_relaxed_dot_i8x16_i7x16_add(weights, values, zero), 0);
    const int32_t two = wasm_i16x8_extract_lane(wasm_i16x8_relaxed_dot_i8x16_i7x16(weights, values), 0);
    if (four == 4 * 127 * -1) return Second::kSigned;
    if (four == 4 * 127 * 255) return Second::kUnsigned;
    return two == 32767 ? Second::kSaturating : Second::kOther;
}

Second second() {
    static const Second found = second_factor();
    return found;
}

bool relaxed_is_signed() {
    return second() == Second::kSigned;
}
bool is_exact() {
    return second() == Second::kSigned || second() == Second::kUnsigned;
}
bool is_saturating() {
    return second() == Second::kSaturating;
}

// Four products at a time, exact in 32 bits. Where the processor takes the highest bit of the second factor for a sign,
// 128 is taken from the input by flipping that bit, and 128 · Σ weight is in the bias.
struct DotFour {
    static int input_offset() { return relaxed_is_signed() ? 128 : 0; }
    static ptrdiff_t bytes(int32_t groups) { return static_cast<ptrdiff_t>(groups) * 32; }
    static void pack(const int8_t* weights, int32_t groups, uint8_t* to) {
        std::memcpy(to, weights, static_cast<size_t>(groups) * 32);
    }

    template <int Rows>
    static void multiply(v128_t (&sums)[Rows][2], const Input& input, const uint8_t* weights) {
        const v128_t flip = wasm_u8x16_splat(static_cast<uint8_t>(input_offset()));
        for (int32_t s = 0; s < input.count; ++s) {
            const uint8_t* in = input.segments[s] + input.offset;
            for (int32_t g = 0; g < input.groups; ++g, in += 4, weights += 32) {
                const v128_t first = wasm_v128_load(weights), second = wasm_v128_load(weights + 16);
                MOBILENETS_UNROLL
                for (int r = 0; r < Rows; ++r) {
                    const v128_t values = wasm_v128_xor(wasm_v128_load32_splat(in + r * input.stride), flip);
                    sums[r][0] = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(first, values, sums[r][0]);
                    sums[r][1] = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(second, values, sums[r][1]);
                }
            }
        }
    }
};

// Two products at a time in 16 bits, which saturate where two weights of one sign are together more than 128 (255 · 128
// is the largest multiple below 2^15). What such a pair has too much stands in a list behind the panel: for each four
// channels the number of entries, then of each the place of its inputs and sixteen weights.
struct DotPairs {
    static int input_offset() { return 0; }
    static constexpr int kEntry = 32;  // bytes, of which twenty are used
    static ptrdiff_t bytes(int32_t groups) { return 16 + static_cast<ptrdiff_t>(groups) * (32 + 2 * kEntry); }

    static void pack(const int8_t* weights, int32_t groups, uint8_t* to) {
        auto* const counts = reinterpret_cast<int32_t*>(to);
        auto* const main = reinterpret_cast<int8_t*>(to + 16);
        uint8_t* entry = to + 16 + static_cast<ptrdiff_t>(groups) * 32;
        std::memcpy(main, weights, static_cast<size_t>(groups) * 32);
        for (int32_t half = 0; half < 2; ++half) {
            counts[half] = 0;
            for (int32_t g = 0; g < groups; ++g) {
                int8_t rest[16] = {};
                bool any = false;
                for (int32_t i = 0; i < 16; i += 2) {
                    int8_t* const pair = main + g * 32 + half * 16 + i;
                    const int sum = pair[0] + pair[1];
                    if ((pair[0] > 0) != (pair[1] > 0) || (sum >= -128 && sum <= 128)) continue;
                    // Half of each: what is left and what is taken away are both within bounds.
                    any = true;
                    rest[i] = static_cast<int8_t>(pair[0] / 2);
                    rest[i + 1] = static_cast<int8_t>(pair[1] / 2);
                    pair[0] = static_cast<int8_t>(pair[0] - rest[i]);
                    pair[1] = static_cast<int8_t>(pair[1] - rest[i + 1]);
                }
                if (!any) continue;
                ++counts[half];
                std::memcpy(entry, rest, 16);
                std::memcpy(entry + 16, &g, 4);
                entry += kEntry;
            }
        }
    }

    static v128_t add(v128_t sum, v128_t weights, v128_t values, v128_t ones) {
        const v128_t pairs = wasm_i16x8_relaxed_dot_i8x16_i7x16(weights, values);
        return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(pairs, ones));
    }

    template <int Rows>
    static void multiply(v128_t (&sums)[Rows][2], const Input& input, const uint8_t* weights) {
        const auto* const counts = reinterpret_cast<const int32_t*>(weights);
        const v128_t ones = wasm_i16x8_splat(1);
        weights += 16;
        for (int32_t s = 0; s < input.count; ++s) {
            const uint8_t* in = input.segments[s] + input.offset;
            for (int32_t g = 0; g < input.groups; ++g, in += 4, weights += 32) {
                const v128_t first = wasm_v128_load(weights), second = wasm_v128_load(weights + 16);
                MOBILENETS_UNROLL
                for (int r = 0; r < Rows; ++r) {
                    const v128_t values = wasm_v128_load32_splat(in + r * input.stride);
                    sums[r][0] = add(sums[r][0], first, values, ones);
                    sums[r][1] = add(sums[r][1], second, values, ones);
                }
            }
        }
        for (int half = 0; half < 2; ++half) {
            v128_t more[Rows];
            MOBILENETS_UNROLL
            for (int r = 0; r < Rows; ++r) more[r] = wasm_i32x4_splat(0);
            for (int32_t left = counts[half]; left > 0; --left, weights += kEntry) {
                int32_t group;
                std::memcpy(&group, weights + 16, 4);
                const v128_t rest = wasm_v128_load(weights);
                const uint8_t* in =
                    input.count == 1 ? input.segments[0] + input.offset + 4 * group
                                     : input.segments[group / input.groups] + input.offset + 4 * (group % input.groups);
                MOBILENETS_UNROLL
                for (int r = 0; r < Rows; ++r)
                    more[r] = add(more[r], rest, wasm_v128_load32_splat(in + r * input.stride), ones);
            }
            MOBILENETS_UNROLL
            for (int r = 0; r < Rows; ++r) sums[r][half] = wasm_i32x4_add(sums[r][half], more[r]);
        }
    }
};

template <class Dot>
constexpr Kernel pointwise_kernel(const char* name) {
    return {name,       Kind::kPointwise, Type::kUint8,      fits_all, product_packed_bytes<Dot>, product_pack<Dot>,
            no_scratch, product_grain,    pointwise_run<Dot>};
}

template <class Dot>
constexpr Kernel stem_kernel(const char* name) {
    return {name,
            Kind::kStem,
            Type::kUint8,
            fits_stem,
            product_packed_bytes<Dot>,
            product_pack<Dot>,
            stem_scratch_bytes,
            stem_grain,
            stem_run<Dot>};
}

const Kernel kExact[] = {
    pointwise_kernel<DotFour>("u8_pointwise_4x8_wasm_dot"),
    stem_kernel<DotFour>("u8_stem_4x8_wasm_dot"),
};
const Kernel kSaturating[] = {
    pointwise_kernel<DotPairs>("u8_pointwise_4x8_wasm_saturating"),
    stem_kernel<DotPairs>("u8_stem_4x8_wasm_saturating"),
};

}  // namespace

const KernelList kU8WasmDot = {kExact, 2, is_exact};
const KernelList kU8WasmSaturating = {kSaturating, 2, is_saturating};

}  // namespace mobilenets
