// float32 kernels for WebAssembly with SIMD.
#include "kernels/simd/f32_vector_wasm.h"
// The kernels themselves, over that vector:
#include "convolution.h"
#include "depthwise.h"
#include "elementwise.h"
#include "pointwise.h"
#include "pool.h"
#include "stem.h"

namespace mobilenets {
namespace {

const Kernel kKernels[] = {
    {"f32_pointwise_5x8_wasm", Kind::kPointwise, Type::kFloat32, fits_all, pointwise_packed_bytes, pointwise_pack,
     no_scratch, pointwise_grain, pointwise_run},
    {"f32_convolution_5x8_wasm", Kind::kConvolution, Type::kFloat32, fits_convolution, convolution_packed_bytes,
     convolution_pack, convolution_scratch_bytes, convolution_grain, convolution_run},
    {"f32_depthwise_3x3_2x4x4_wasm", Kind::kDepthwise, Type::kFloat32, fits_depthwise_3x3, depthwise_packed_bytes,
     depthwise_pack, no_scratch, depthwise_grain, depthwise_3x3_run},
    {"f32_depthwise_4_wasm", Kind::kDepthwise, Type::kFloat32, fits_all, depthwise_packed_bytes, depthwise_pack,
     no_scratch, depthwise_grain, depthwise_run},
    {"f32_stem_5x8_wasm", Kind::kStem, Type::kFloat32, fits_stem, stem_packed_bytes, stem_pack, stem_scratch_bytes,
     stem_grain, stem_run},
    {"f32_max_pool_4_wasm", Kind::kMaxPool, Type::kFloat32, fits_all, packs_nothing, pack_nothing, no_scratch,
     any_grain, max_pool_run},
    {"f32_average_pool_4_wasm", Kind::kAveragePool, Type::kFloat32, fits_all, packs_multiplier, pack_multiplier,
     no_scratch, any_grain, average_pool_run},
    {"f32_sum_4_wasm", Kind::kSum, Type::kFloat32, fits_all, packs_nothing, pack_nothing, no_scratch, any_grain,
     sum_run},
    {"f32_product_4_wasm", Kind::kProduct, Type::kFloat32, fits_all, packs_nothing, pack_nothing, no_scratch, any_grain,
     product_run},
    {"f32_activation_4_wasm", Kind::kActivation, Type::kFloat32, fits_hard_activation, packs_nothing, pack_nothing,
     no_scratch, any_grain, activation_run},
};

}  // namespace

const KernelList kF32Wasm = {kKernels, sizeof kKernels / sizeof *kKernels};

}  // namespace mobilenets
