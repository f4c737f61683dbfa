// The loops of native/resize.h for WebAssembly with SIMD: the three sums of a pixel side by side.
#include <wasm_simd128.h>

#include "resize.h"

namespace mobilenets {
namespace {

constexpr int32_t kHalf = 1 << (kWeightBits - 1);

v128_t add_weighted(v128_t sums, v128_t values, int32_t weight) {
    return wasm_i32x4_add(sums, wasm_i32x4_mul(values, wasm_i32x4_splat(weight)));
}

// The bytes of four sums, in the lowest lanes.
v128_t bytes_of(v128_t sums) {
    const v128_t values = wasm_i32x4_shr(sums, kWeightBits);
    const v128_t words = wasm_i16x8_narrow_i32x4(values, values);
    return wasm_u8x16_narrow_i16x8(words, words);
}

void horizontal(const uint8_t* row, const Taps& taps, uint8_t* out) {
    const int32_t* weights = taps.weights;
    for (int32_t i = 0; i < taps.outputs; ++i, out += 3, weights += taps.most) {
        const uint8_t* in = row + kPixelBytes * static_cast<ptrdiff_t>(taps.first[i]);
        v128_t sums = wasm_i32x4_splat(kHalf);
        for (int32_t t = 0; t < taps.most; ++t, in += kPixelBytes)
            sums = add_weighted(
                sums, wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(in))), weights[t]);
        const v128_t bytes = bytes_of(sums);
        wasm_v128_store16_lane(out, bytes, 0);
        wasm_v128_store8_lane(out + 2, bytes, 2);
    }
}

void vertical(const uint8_t* const* rows, const Taps& taps, int32_t output, int32_t count, uint8_t* out) {
    const int32_t* weights = taps.weights + static_cast<ptrdiff_t>(output) * taps.most;
    int32_t x = 0;
    for (; x + 8 <= count; x += 8) {
        v128_t low = wasm_i32x4_splat(kHalf), high = low;
        for (int32_t t = 0; t < taps.most; ++t) {
            const v128_t values = wasm_u16x8_load8x8(rows[t] + x);
            low = add_weighted(low, wasm_u32x4_extend_low_u16x8(values), weights[t]);
            high = add_weighted(high, wasm_u32x4_extend_high_u16x8(values), weights[t]);
        }
        const v128_t words =
            wasm_i16x8_narrow_i32x4(wasm_i32x4_shr(low, kWeightBits), wasm_i32x4_shr(high, kWeightBits));
        wasm_v128_store64_lane(out + x, wasm_u8x16_narrow_i16x8(words, words), 0);
    }
    for (; x < count; ++x) {
        int32_t sum = kHalf;
        for (int32_t t = 0; t < taps.most; ++t) sum += rows[t][x] * weights[t];
        const int32_t value = sum >> kWeightBits;
        out[x] = static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

}  // namespace

const ResizeLoops kResizeWasm = {horizontal, vertical, 1};

}  // namespace mobilenets
