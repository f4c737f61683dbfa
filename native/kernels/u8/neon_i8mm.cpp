// uint8 kernels for NEON with the 8-bit matrix extension, which multiplies unsigned by signed bytes.
#include <arm_neon.h>

#include "kernels.h"

namespace mobilenets {
namespace {

struct Dot4 {
    static constexpr int kInputOffset = 0;
    using Input = uint8x16_t;

    static Input input(uint8x16_t bytes) { return bytes; }

    template <int Lane>
    static int32x4_t add(int32x4_t sum, int8x16_t weights, Input in) {
        return vsudotq_laneq_s32(sum, weights, in, Lane);
    }
};

}  // namespace
}  // namespace mobilenets

#include "neon_dot.h"
// What multiplies with them:
#include "neon_pointwise.h"

namespace mobilenets {
namespace {

const Kernel kKernels[] = {
    {"u8_pointwise_8x8_neon_i8mm", Kind::kPointwise, Type::kUint8, fits_all, pointwise_packed_bytes, pointwise_pack,
     no_scratch, pointwise_grain, pointwise_run},
};

}  // namespace

const KernelList kU8NeonI8mm = {kKernels, sizeof kKernels / sizeof *kKernels};

}  // namespace mobilenets
