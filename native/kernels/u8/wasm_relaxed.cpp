// Products over uint8 by relaxed dot products. What these make of a second factor whose highest bit is set is the
// processor's own: Arm takes it as a sign, and x86 with AVX-VNNI does not; both are exact. Other x86 adds two products
// in 16 bits, which saturate: there the kernels of wasm.cpp are as fast. So it is tried out.
#include <wasm_simd128.h>

#include <cstring>

#include "kernels.h"
#include "wasm_pointwise.h"

namespace mobilenets {
namespace {

enum class Second { kSigned, kUnsigned, kOther };

// Told by four times 127 · 255, which saturates 16 bits where anything does.
Second second_factor() {
    volatile int8_t weight = 127;
    volatile uint8_t value = 255;
    const v128_t weights = wasm_i8x16_splat(weight), values = wasm_u8x16_splat(value), zero = wasm_i32x4_splat(0);
    const int32_t four = wasm_i32x4_extract_lane(wasm_i32x4_relaxed_dot_i8x16_i7x16_add(weights, values, zero), 0);
    if (four == 4 * 127 * -1) return Second::kSigned;
    return four == 4 * 127 * 255 ? Second::kUnsigned : Second::kOther;
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

// Four products at a time, exact in 32 bits. Where the processor takes the highest bit of the second factor for a sign,
// 128 is taken from the input by flipping that bit, and 128 · Σ weight is in the bias.
struct DotFour {
    using Value = uint8_t;
    static int input_offset() { return relaxed_is_signed() ? 128 : 0; }
    static ptrdiff_t bytes(int32_t groups) { return static_cast<ptrdiff_t>(groups) * 32; }
    static void pack(const int8_t* weights, int32_t groups, uint8_t* to) {
        std::memcpy(to, weights, static_cast<size_t>(groups) * 32);
    }

    template <int Rows>
    static void multiply(v128_t (&sums)[Rows][2], const Input& input, const uint8_t* weights) {
        const v128_t flip = wasm_u8x16_splat(static_cast<uint8_t>(input_offset()));
        for (int32_t s = 0; s < input.count; ++s) {
            const auto* in = static_cast<const uint8_t*>(input.segments[s]) + input.offset;
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
            stem_scratch_bytes<Dot>,
            stem_grain,
            stem_run<Dot>};
}

const Kernel kExact[] = {
    pointwise_kernel<DotFour>("u8_pointwise_4x8_wasm_dot"),
    stem_kernel<DotFour>("u8_stem_4x8_wasm_dot"),
};
}  // namespace

const KernelList kU8WasmDot = {kExact, 2, is_exact};

}  // namespace mobilenets
