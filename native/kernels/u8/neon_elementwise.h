// uint8 sums, products and tables for plain NEON.
#pragma once

#include <arm_neon.h>

#include <cstring>

#include "kernels.h"
#include "neon_window.h"
#include "table.h"

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

// Sixteen sums, `count` of which exist.
void sum_block(const Operation& op, const float* multipliers, const uint8_t* first, const uint8_t* second, uint8_t* out,
               int32_t count) {
    const float32x4_t constant = vdupq_n_f32(multipliers[2]);
    const auto quarter = [&](uint16x4_t a, uint16x4_t b) {
        const float32x4_t inner = vfmaq_n_f32(constant, vcvtq_f32_u32(vmovl_u16(b)), multipliers[1]);
        return vcvtnq_s32_f32(vfmaq_n_f32(inner, vcvtq_f32_u32(vmovl_u16(a)), multipliers[0]));
    };
    const auto half = [&](uint16x8_t a, uint16x8_t b) {
        return clamped(op, quarter(vget_low_u16(a), vget_low_u16(b)), quarter(vget_high_u16(a), vget_high_u16(b)));
    };
    const uint8x16_t a = vld1q_u8(first), b = vld1q_u8(second);
    const uint8x8_t low = half(vmovl_u8(vget_low_u8(a)), vmovl_u8(vget_low_u8(b)));
    store_bytes(out, vcombine_u8(low, half(vmovl_u8(vget_high_u8(a)), vmovl_u8(vget_high_u8(b)))), count);
}

void sum_run(const Operation& op, const void* packed, const Task& task) {
    const auto* multipliers = static_cast<const float*>(packed);
    const auto *first = static_cast<const uint8_t*>(task.rows[0]), *second = static_cast<const uint8_t*>(task.rows[1]);
    auto* out = static_cast<uint8_t*>(task.out);
    for (int32_t pixel = 0; pixel < task.count; ++pixel, first += op.in_channels, second += op.in_channels) {
        for (int32_t c = task.channel_begin; c < task.channel_end; c += 16)
            sum_block(op, multipliers, first + c, second + c, out + c, task.channel_end - c);
        out += task.out_stride;
    }
}

// Packed memory: two zero points and a multiplier.
struct ProductNumbers {
    int32_t zero_points[2];
    float multiplier;
};

size_t product_packed_bytes(const Operation&) {
    return sizeof(ProductNumbers);
}

void product_pack(const Operation&, const Weights& weights, void* packed) {
    const auto* zero_points = static_cast<const int32_t*>(weights.bias);
    *static_cast<ProductNumbers*>(packed) = {{zero_points[0], zero_points[1]}, weights.multiplier[0]};
}

// Four products, less than 2^17 in size, as int32 of the result's bytes before they are clamped.
int32x4_t scaled_product(int16x4_t a, int16x4_t b, float32x4_t multiplier, float32x4_t zero_point) {
    const float32x4_t scaled = vmulq_f32(vcvtq_f32_s32(vmull_s16(a, b)), multiplier);
    return vcvtnq_s32_f32(vaddq_f32(scaled, zero_point));
}

// Sixteen products, `count` of which exist.
void product_block(const Operation& op, const ProductNumbers& numbers, const uint8_t* first, const uint8_t* second,
                   uint8_t* out, int32_t count) {
    const uint8x16_t a = vld1q_u8(first), b = vld1q_u8(second);
    const int16x8_t za = vdupq_n_s16(static_cast<int16_t>(numbers.zero_points[0]));
    const int16x8_t zb = vdupq_n_s16(static_cast<int16_t>(numbers.zero_points[1]));
    const float32x4_t multiplier = vdupq_n_f32(numbers.multiplier);
    const float32x4_t zero_point = vdupq_n_f32(static_cast<float>(op.out_zero_point));
    const auto half = [&](uint8x8_t x, uint8x8_t y) {
        const int16x8_t u = vsubq_s16(vreinterpretq_s16_u16(vmovl_u8(x)), za);
        const int16x8_t v = vsubq_s16(vreinterpretq_s16_u16(vmovl_u8(y)), zb);
        return clamped(op, scaled_product(vget_low_s16(u), vget_low_s16(v), multiplier, zero_point),
                       scaled_product(vget_high_s16(u), vget_high_s16(v), multiplier, zero_point));
    };
    const uint8x16_t made = vcombine_u8(half(vget_low_u8(a), vget_low_u8(b)), half(vget_high_u8(a), vget_high_u8(b)));
    store_bytes(out, made, count);
}

void product_run(const Operation& op, const void* packed, const Task& task) {
    const auto& numbers = *static_cast<const ProductNumbers*>(packed);
    const auto *first = static_cast<const uint8_t*>(task.rows[0]), *second = static_cast<const uint8_t*>(task.rows[1]);
    auto* out = static_cast<uint8_t*>(task.out);
    for (int32_t pixel = 0; pixel < task.count; ++pixel, first += op.in_channels, out += task.out_stride) {
        for (int32_t c = task.channel_begin; c < task.channel_end; c += 16)
            product_block(op, numbers, first + c, second + c, out + c, task.channel_end - c);
        if (!op.per_channel) second += op.in_channels;
    }
}

// Four lookups of 64 bytes, each of which leaves alone what is not among its own.
struct Lookup {
    static constexpr int kBytes = 16;
    uint8x16x4_t quarters[4];

    explicit Lookup(const uint8_t* table) {
        for (int i = 0; i < 4; ++i)
            for (int j = 0; j < 4; ++j) quarters[i].val[j] = vld1q_u8(table + 64 * i + 16 * j);
    }
    void apply(const uint8_t* in, uint8_t* out) const {
        const uint8x16_t index = vld1q_u8(in), step = vdupq_n_u8(64);
        uint8x16_t found = vqtbl4q_u8(quarters[0], index), rest = index;
        for (int i = 1; i < 4; ++i) {
            rest = vsubq_u8(rest, step);
            found = vqtbx4q_u8(found, quarters[i], rest);
        }
        vst1q_u8(out, found);
    }
};

}  // namespace
}  // namespace mobilenets
