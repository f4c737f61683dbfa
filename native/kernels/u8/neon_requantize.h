// From int32 sums to the values that leave a uint8 kernel, eight channels at a time.
#pragma once

#include <arm_neon.h>

#include <cstring>

#include "kernels.h"

namespace mobilenets {
namespace {

int32x4_t scaled(int32x4_t sum, float32x4_t multiplier, int32x4_t zero_point) {
    return vaddq_s32(vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sum), multiplier)), zero_point);
}

uint8x8_t clamped(const Operation& op, int32x4_t low, int32x4_t high) {
    const uint8x8_t bytes = vqmovun_s16(vcombine_s16(vqmovn_s32(low), vqmovn_s32(high)));
    return vmin_u8(vmax_u8(bytes, vdup_n_u8(static_cast<uint8_t>(op.low))), vdup_n_u8(static_cast<uint8_t>(op.high)));
}

// Writes `channels` ≤ 8 results: bytes, or floats where the operation's output is real.
void store_requantized(const Operation& op, const int32x4_t (&sums)[2], const float* multipliers, uint8_t* out,
                       int32_t channels) {
    const float32x4_t first = vld1q_f32(multipliers), second = vld1q_f32(multipliers + 4);
    if (op.real_output) {
        const float32x4_t low = vdupq_n_f32(op.low_real), high = vdupq_n_f32(op.high_real);
        float values[8];
        vst1q_f32(values, vminq_f32(vmaxq_f32(vmulq_f32(vcvtq_f32_s32(sums[0]), first), low), high));
        vst1q_f32(values + 4, vminq_f32(vmaxq_f32(vmulq_f32(vcvtq_f32_s32(sums[1]), second), low), high));
        std::memcpy(out, values, static_cast<size_t>(channels) * sizeof(float));
        return;
    }
    const int32x4_t zero_point = vdupq_n_s32(op.out_zero_point);
    const uint8x8_t bytes = clamped(op, scaled(sums[0], first, zero_point), scaled(sums[1], second, zero_point));
    if (channels == 8) {
        vst1_u8(out, bytes);
    } else {
        uint8_t values[8];
        vst1_u8(values, bytes);
        std::memcpy(out, values, static_cast<size_t>(channels));
    }
}

}  // namespace
}  // namespace mobilenets
