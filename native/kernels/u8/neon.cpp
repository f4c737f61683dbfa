// uint8 kernels for NEON without extensions.
#include <arm_neon.h>

#include "kernels.h"
#include "kernels/simd/unroll.h"

namespace mobilenets {
namespace {

// Bytes are widened and multiplied one input channel at a time.
struct Dot {
    static constexpr int kDepth = 1;
    static constexpr int kInputOffset = 0;

    template <int Rows, int Lane>
    static void channel(int32x4_t (&sums)[Rows][2], const int16x8_t (&in)[Rows], const int8_t* weights) {
        const int16x8_t weight = vmovl_s8(vld1_s8(weights));
        MOBILENETS_UNROLL
        for (int r = 0; r < Rows; ++r) {
            sums[r][0] = vmlal_laneq_s16(sums[r][0], vget_low_s16(weight), in[r], Lane);
            sums[r][1] = vmlal_high_laneq_s16(sums[r][1], weight, in[r], Lane);
        }
    }

    template <int Rows>
    static void multiply(int32x4_t (&sums)[Rows][2], const uint8_t* in, ptrdiff_t in_stride, const int8_t* weights,
                         int32_t groups) {
        int16x8_t values[Rows];
        for (; groups > 0; groups -= 8, in += 8, weights += 64) {
            MOBILENETS_UNROLL
            for (int r = 0; r < Rows; ++r) values[r] = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(in + r * in_stride)));
            channel<Rows, 0>(sums, values, weights);
            if (groups > 1) channel<Rows, 1>(sums, values, weights + 8);
            if (groups > 2) channel<Rows, 2>(sums, values, weights + 16);
            if (groups > 3) channel<Rows, 3>(sums, values, weights + 24);
            if (groups > 4) channel<Rows, 4>(sums, values, weights + 32);
            if (groups > 5) channel<Rows, 5>(sums, values, weights + 40);
            if (groups > 6) channel<Rows, 6>(sums, values, weights + 48);
            if (groups > 7) channel<Rows, 7>(sums, values, weights + 56);
        }
    }
};

}  // namespace
}  // namespace mobilenets

#include "neon_elementwise.h"
#include "neon_pointwise.h"
#include "neon_window.h"

namespace mobilenets {
namespace {

template <int Size, int Stride>
constexpr Kernel depthwise_kernel(const char* name) {
    return {name,           Kind::kDepthwise, Type::kUint8,   fits_depthwise<Size, Stride>, depthwise_packed_bytes,
            depthwise_pack, no_scratch,       eight_channels, depthwise_run<Size, Stride>};
}

const Kernel kKernels[] = {
    {"u8_pointwise_8x8_neon", Kind::kPointwise, Type::kUint8, fits_all, pointwise_packed_bytes, pointwise_pack,
     no_scratch, pointwise_grain, pointwise_run},
    depthwise_kernel<3, 1>("u8_depthwise_3x3s1_4x8_neon"),
    depthwise_kernel<3, 2>("u8_depthwise_3x3s2_4x8_neon"),
    depthwise_kernel<5, 1>("u8_depthwise_5x5s1_4x8_neon"),
    depthwise_kernel<5, 2>("u8_depthwise_5x5s2_4x8_neon"),
    {"u8_depthwise_4x8_neon", Kind::kDepthwise, Type::kUint8, fits_all, depthwise_packed_bytes, depthwise_pack,
     no_scratch, eight_channels, depthwise_run},
    {"u8_max_pool_16_neon", Kind::kMaxPool, Type::kUint8, fits_all, packs_nothing, pack_nothing, no_scratch,
     sixteen_channels, max_pool_run},
    {"u8_sum_16_neon", Kind::kSum, Type::kUint8, fits_two, sum_packed_bytes, sum_pack, no_scratch, sixteen_channels,
     sum_run},
    {"u8_product_16_neon", Kind::kProduct, Type::kUint8, fits_all, product_packed_bytes, product_pack, no_scratch,
     sixteen_channels, product_run},
    u8_table<Lookup>("u8_activation_16_neon"),
};

}  // namespace

const KernelList kU8Neon = {kKernels, sizeof kKernels / sizeof *kKernels};

}  // namespace mobilenets
