// uint8 kernels for WebAssembly with SIMD, whatever else the browser has.
#include <wasm_simd128.h>

#include "kernels.h"
#include "wasm_elementwise.h"
#include "wasm_pointwise.h"
#include "wasm_window.h"

namespace mobilenets {
namespace {

template <int Size, int Stride>
constexpr Kernel depthwise_kernel(const char* name) {
    return {name,           Kind::kDepthwise, Type::kUint8,   fits_depthwise<Size, Stride>, depthwise_packed_bytes,
            depthwise_pack, no_scratch,       eight_channels, depthwise_run<Size, Stride>};
}

const Kernel kKernels[] = {
    {"u8_pointwise_4x8_wasm", Kind::kPointwise, Type::kUint8, fits_all, product_packed_bytes<DotWide>,
     product_pack<DotWide>, wide_scratch_bytes, product_grain, pointwise_run<DotWide>},
    {"u8_stem_4x8_wasm", Kind::kStem, Type::kUint8, fits_stem, product_packed_bytes<DotWide>, product_pack<DotWide>,
     stem_scratch_bytes<DotWide>, stem_grain, stem_run<DotWide>},
    depthwise_kernel<3, 1>("u8_depthwise_3x3s1_4x8_wasm"),
    depthwise_kernel<3, 2>("u8_depthwise_3x3s2_4x8_wasm"),
    depthwise_kernel<5, 1>("u8_depthwise_5x5s1_4x8_wasm"),
    depthwise_kernel<5, 2>("u8_depthwise_5x5s2_4x8_wasm"),
    {"u8_depthwise_8_wasm", Kind::kDepthwise, Type::kUint8, fits_all, depthwise_packed_bytes, depthwise_pack,
     no_scratch, eight_channels, depthwise_any_run},
    {"u8_max_pool_16_wasm", Kind::kMaxPool, Type::kUint8, fits_all, packs_nothing, pack_nothing, no_scratch,
     sixteen_channels, max_pool_run},
    {"u8_average_pool_8_wasm", Kind::kAveragePool, Type::kUint8, fits_all, average_packed_bytes, average_pack,
     no_scratch, eight_channels, average_pool_run},
    {"u8_sum_8_wasm", Kind::kSum, Type::kUint8, fits_two, sum_packed_bytes, sum_pack, no_scratch, eight_channels,
     sum_run},
    {"u8_product_8_wasm", Kind::kProduct, Type::kUint8, fits_all, multiply_packed_bytes, multiply_pack, no_scratch,
     eight_channels, multiply_run},
};

}  // namespace

const KernelList kU8Wasm = {kKernels, sizeof kKernels / sizeof *kKernels};

}  // namespace mobilenets
