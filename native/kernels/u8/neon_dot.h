// Products of rows and panels by instructions that add four products of bytes to each int32 sum. The including file
// defines Dot4: input_bytes (what its instruction wants of the activations), add<Lane>, and kInputOffset.
#pragma once

#include <arm_neon.h>

#include <cstring>

#include "kernels/simd/unroll.h"

namespace mobilenets {
namespace {

struct Dot {
    static constexpr int kDepth = 4;
    static constexpr int kInputOffset = Dot4::kInputOffset;

    template <int Rows, int Lane>
    static void group(int32x4_t (&sums)[Rows][2], const Dot4::Input (&in)[Rows], const int8_t* weights) {
        const int8x16_t first = vld1q_s8(weights), second = vld1q_s8(weights + 16);
        MOBILENETS_UNROLL
        for (int r = 0; r < Rows; ++r) {
            sums[r][0] = Dot4::add<Lane>(sums[r][0], first, in[r]);
            sums[r][1] = Dot4::add<Lane>(sums[r][1], second, in[r]);
        }
    }

    template <int Rows>
    static void multiply(int32x4_t (&sums)[Rows][2], const uint8_t* in, ptrdiff_t in_stride, const int8_t* weights,
                         int32_t groups) {
        Dot4::Input values[Rows];
        for (; groups >= 4; groups -= 4, in += 16, weights += 128) {
            MOBILENETS_UNROLL
            for (int r = 0; r < Rows; ++r) values[r] = Dot4::input(vld1q_u8(in + r * in_stride));
            group<Rows, 0>(sums, values, weights);
            group<Rows, 1>(sums, values, weights + 32);
            group<Rows, 2>(sums, values, weights + 64);
            group<Rows, 3>(sums, values, weights + 96);
        }
        for (; groups > 0; --groups, in += 4, weights += 32) {
            MOBILENETS_UNROLL
            for (int r = 0; r < Rows; ++r) {
                uint32_t four;
                std::memcpy(&four, in + r * in_stride, sizeof four);
                values[r] = Dot4::input(vreinterpretq_u8_u32(vdupq_n_u32(four)));
            }
            group<Rows, 0>(sums, values, weights);
        }
    }
};

}  // namespace
}  // namespace mobilenets
