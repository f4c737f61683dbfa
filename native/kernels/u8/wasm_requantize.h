// From int32 sums to the values that leave a uint8 kernel, eight channels at a time, in WebAssembly.
#pragma once

#include <wasm_simd128.h>

#include <cstring>

#include "kernels.h"

namespace mobilenets {
namespace {

// What all results of an operation have in common, made once for a run.
struct Requantize {
    v128_t lowest, highest, shift, to_zero_point;
    bool real;

    // A float32 between −2^22 and 2^22 rounds to an integer, half to even, where 1.5 · 2^23 is added: the last bits of
    // the sum are that integer.
    static constexpr float kShift = 12582912.0f;
    static constexpr int32_t kShiftBits = 0x4B400000;

    explicit Requantize(const Operation& op) : real(op.real_output) {
        lowest = wasm_f32x4_splat(real ? op.low_real : static_cast<float>(op.low - op.out_zero_point));
        highest = wasm_f32x4_splat(real ? op.high_real : static_cast<float>(op.high - op.out_zero_point));
        shift = wasm_f32x4_splat(kShift);
        to_zero_point = wasm_i32x4_splat(op.out_zero_point - kShiftBits);
    }

    v128_t clamped(v128_t sums, v128_t multipliers) const {
        const v128_t scaled = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(sums), multipliers);
        return wasm_f32x4_pmin(wasm_f32x4_pmax(scaled, lowest), highest);
    }
    v128_t integers(v128_t sums, v128_t multipliers) const {
        return wasm_i32x4_add(wasm_f32x4_add(clamped(sums, multipliers), shift), to_zero_point);
    }

    // Writes `channels` ≤ 8 results: bytes, or floats where the operation's output is real.
    void store(v128_t first, v128_t second, const float* multipliers, uint8_t* out, int32_t channels) const {
        const v128_t low = wasm_v128_load(multipliers), high = wasm_v128_load(multipliers + 4);
        if (real) {
            float values[8];
            wasm_v128_store(values, clamped(first, low));
            wasm_v128_store(values + 4, clamped(second, high));
            std::memcpy(out, values, static_cast<size_t>(channels) * sizeof(float));
            return;
        }
        const v128_t words = wasm_i16x8_narrow_i32x4(integers(first, low), integers(second, high));
        const v128_t bytes = wasm_u8x16_narrow_i16x8(words, words);
        if (channels == 8) {
            wasm_v128_store64_lane(out, bytes, 0);
        } else {
            uint8_t values[16];
            wasm_v128_store(values, bytes);
            std::memcpy(out, values, static_cast<size_t>(channels));
        }
    }
};

}  // namespace
}  // namespace mobilenets
