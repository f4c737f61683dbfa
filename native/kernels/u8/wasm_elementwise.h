// uint8 sums and products of two maps in WebAssembly.
#pragma once

#include <wasm_simd128.h>

#include <cstring>

#include "kernels.h"
#include "wasm_window.h"

namespace mobilenets {
namespace {

bool fits_two(const Operation& op) {
    return op.inputs == 2;
}

// Packed memory: two multipliers and the constant.
size_t sum_packed_bytes(const Operation&) {
    return 3 * sizeof(float);
}

void sum_pack(const Operation&, const Weights& weights, void* packed) {
    std::memcpy(packed, weights.multiplier, 3 * sizeof(float));
}

// A byte times a float32, and a float32 added to it, rounded once to float32: with 64 bits the product is exact, and so
// is the sum unless its terms are more than 2^20 times apart; there the term that is lost lies far below half a step,
// and is made to count by an odd last bit (Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums").
v128_t fused(v128_t bytes, v128_t multiplier, v128_t added) {
    const v128_t product = wasm_f64x2_mul(wasm_f64x2_convert_low_i32x4(bytes), multiplier);
    const v128_t sum = wasm_f64x2_add(product, added);
    // What was rounded away (Knuth's two-sum); where there is something, the sum's last bit becomes odd.
    const v128_t other = wasm_f64x2_sub(sum, product);
    const v128_t lost =
        wasm_f64x2_add(wasm_f64x2_sub(product, wasm_f64x2_sub(sum, other)), wasm_f64x2_sub(added, other));
    const v128_t inexact = wasm_f64x2_ne(lost, wasm_f64x2_splat(0));
    const v128_t even = wasm_i64x2_eq(wasm_v128_and(sum, wasm_i64x2_splat(1)), wasm_i64x2_splat(0));
    const v128_t away =
        wasm_v128_xor(wasm_f64x2_gt(lost, wasm_f64x2_splat(0)), wasm_f64x2_lt(sum, wasm_f64x2_splat(0)));
    const v128_t step =
        wasm_v128_or(wasm_v128_and(away, wasm_i64x2_splat(1)), wasm_v128_andnot(wasm_i64x2_splat(-1), away));
    return wasm_i64x2_add(sum, wasm_v128_and(step, wasm_v128_and(inexact, even)));
}

// Four sums as floats, rounded as two fused multiply-adds in float32 do.
v128_t four_sums(v128_t first, v128_t second, const float* multipliers) {
    const v128_t m0 = wasm_f64x2_splat(multipliers[0]), m1 = wasm_f64x2_splat(multipliers[1]);
    const v128_t constant = wasm_f64x2_splat(multipliers[2]);
    const auto half = [&](v128_t a, v128_t b) {
        const v128_t inner = wasm_f64x2_promote_low_f32x4(wasm_f32x4_demote_f64x2_zero(fused(b, m1, constant)));
        return wasm_f32x4_demote_f64x2_zero(fused(a, m0, inner));
    };
    const v128_t low = half(first, second);
    const v128_t high =
        half(wasm_i32x4_shuffle(first, first, 2, 3, 2, 3), wasm_i32x4_shuffle(second, second, 2, 3, 2, 3));
    return wasm_i32x4_shuffle(low, high, 0, 1, 4, 5);
}

// Rounds half to even and clamps values below 2^22 in size, zero point included.
struct ToBytes {
    v128_t low, high;
    explicit ToBytes(const Operation& op)
        : low(wasm_f32x4_splat(static_cast<float>(op.low))), high(wasm_f32x4_splat(static_cast<float>(op.high))) {}
    v128_t integers(v128_t values) const {
        const v128_t clamped = wasm_f32x4_pmin(wasm_f32x4_pmax(values, low), high);
        return wasm_i32x4_sub(wasm_f32x4_add(clamped, wasm_f32x4_splat(Requantize::kShift)),
                              wasm_i32x4_splat(Requantize::kShiftBits));
    }
    v128_t bytes(v128_t first, v128_t second) const {
        const v128_t words = wasm_i16x8_narrow_i32x4(integers(first), integers(second));
        return wasm_u8x16_narrow_i16x8(words, words);
    }
};

void store_eight(uint8_t* out, v128_t bytes, int32_t channels) {
    if (channels >= 8) {
        wasm_v128_store64_lane(out, bytes, 0);
        return;
    }
    store_bytes(out, bytes, channels);
}

void sum_run(const Operation& op, const void* packed, const Task& task) {
    float multipliers[3];
    std::memcpy(multipliers, packed, sizeof multipliers);
    const ToBytes to_bytes(op);
    const auto *first = static_cast<const uint8_t*>(task.rows[0]), *second = static_cast<const uint8_t*>(task.rows[1]);
    auto* out = static_cast<uint8_t*>(task.out);
    for (int32_t pixel = 0; pixel < task.count; ++pixel, first += op.in_channels, second += op.in_channels) {
        for (int32_t c = task.channel_begin; c < task.channel_end; c += 8) {
            const v128_t a = wasm_u16x8_load8x8(first + c), b = wasm_u16x8_load8x8(second + c);
            const v128_t low = four_sums(wasm_u32x4_extend_low_u16x8(a), wasm_u32x4_extend_low_u16x8(b), multipliers);
            const v128_t high =
                four_sums(wasm_u32x4_extend_high_u16x8(a), wasm_u32x4_extend_high_u16x8(b), multipliers);
            store_eight(out + c, to_bytes.bytes(low, high), task.channel_end - c);
        }
        out += task.out_stride;
    }
}

// Packed memory: two zero points and a multiplier.
struct ProductNumbers {
    int32_t zero_points[2];
    float multiplier;
};

size_t multiply_packed_bytes(const Operation&) {
    return sizeof(ProductNumbers);
}

void multiply_pack(const Operation&, const Weights& weights, void* packed) {
    const auto* zero_points = static_cast<const int32_t*>(weights.bias);
    const ProductNumbers numbers{{zero_points[0], zero_points[1]}, weights.multiplier[0]};
    std::memcpy(packed, &numbers, sizeof numbers);
}

void multiply_run(const Operation& op, const void* packed, const Task& task) {
    ProductNumbers numbers;
    std::memcpy(&numbers, packed, sizeof numbers);
    const ToBytes to_bytes(op);
    const v128_t za = wasm_i16x8_splat(static_cast<int16_t>(numbers.zero_points[0]));
    const v128_t zb = wasm_i16x8_splat(static_cast<int16_t>(numbers.zero_points[1]));
    const v128_t multiplier = wasm_f32x4_splat(numbers.multiplier);
    const v128_t zero_point = wasm_f32x4_splat(static_cast<float>(op.out_zero_point));
    const auto scaled = [&](v128_t exact) {
        return wasm_f32x4_add(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(exact), multiplier), zero_point);
    };
    const auto *first = static_cast<const uint8_t*>(task.rows[0]), *second = static_cast<const uint8_t*>(task.rows[1]);
    auto* out = static_cast<uint8_t*>(task.out);
    for (int32_t pixel = 0; pixel < task.count; ++pixel, first += op.in_channels, out += task.out_stride) {
        for (int32_t c = task.channel_begin; c < task.channel_end; c += 8) {
            const v128_t a = wasm_i16x8_sub(wasm_u16x8_load8x8(first + c), za);
            const v128_t b = wasm_i16x8_sub(wasm_u16x8_load8x8(second + c), zb);
            const v128_t low = wasm_i32x4_extmul_low_i16x8(a, b), high = wasm_i32x4_extmul_high_i16x8(a, b);
            store_eight(out + c, to_bytes.bytes(scaled(low), scaled(high)), task.channel_end - c);
        }
        if (!op.per_channel) second += op.in_channels;
    }
}

}  // namespace
}  // namespace mobilenets
