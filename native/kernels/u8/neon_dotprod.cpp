// uint8 kernels for NEON with the dot product extension.
#include <arm_neon.h>

#include "kernels.h"

namespace mobilenets {
namespace {

// Both factors must be signed: 128 is taken from the activations by flipping a bit, and 128 · Σ weight is in the bias.
struct Dot4 {
    static constexpr int kInputOffset = 128;
    using Input = int8x16_t;

    static Input input(uint8x16_t bytes) { return vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(0x80))); }

    template <int Lane>
    static int32x4_t add(int32x4_t sum, int8x16_t weights, Input in) {
        return vdotq_laneq_s32(sum, weights, in, Lane);
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
    {"u8_pointwise_8x8_neon_dotprod", Kind::kPointwise, Type::kUint8, fits_all, pointwise_packed_bytes, pointwise_pack,
     no_scratch, pointwise_grain, pointwise_run},
};

}  // namespace

const KernelList kU8NeonDotprod = {kKernels, sizeof kKernels / sizeof *kKernels};

}  // namespace mobilenets
