// Four floats in a vector of WebAssembly.
#pragma once

#include <wasm_simd128.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace mobilenets {
namespace {

struct Vector {
    using Floats = v128_t;
    static constexpr int kWidth = 4, kRegisters = 16;
    // Largest tiles, and no tiles of their own for known strides: each takes code, which a page has to load.
    static constexpr int kMostRows = 5, kMostColumns = 3;
    static constexpr bool kStrides = false;
    static constexpr bool kMultipliesByMemory = false;

    static Floats zero() { return wasm_f32x4_splat(0); }
    static Floats broadcast(float value) { return wasm_f32x4_splat(value); }
    static Floats load(const float* from) { return wasm_v128_load(from); }
    static Floats load_bytes(const uint8_t* from) {
        return wasm_f32x4_convert_i32x4(
            wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(from))));
    }
    static void store(float* to, Floats value) { wasm_v128_store(to, value); }
    static void store_first(float* to, Floats value, int count) {
        float lanes[kWidth];
        wasm_v128_store(lanes, value);
        std::memcpy(to, lanes, static_cast<size_t>(count) * sizeof(float));
    }
    static Floats add(Floats a, Floats b) { return wasm_f32x4_add(a, b); }
    static Floats subtract(Floats a, Floats b) { return wasm_f32x4_sub(a, b); }
    static Floats multiply(Floats a, Floats b) { return wasm_f32x4_mul(a, b); }
#ifdef __wasm_relaxed_simd__
    // Rounded once where the processor can, as the kernels of every other instruction set do it.
    static Floats multiply_add(Floats a, Floats b, Floats sum) { return wasm_f32x4_relaxed_madd(a, b, sum); }
#else
    // Rounded twice, as the portable kernels do it.
    static Floats multiply_add(Floats a, Floats b, Floats sum) { return wasm_f32x4_add(sum, wasm_f32x4_mul(a, b)); }
#endif
    // The minimum and maximum of x86, one instruction there and on Arm; nothing here is NaN.
    static Floats min(Floats a, Floats b) { return wasm_f32x4_pmin(a, b); }
    static Floats max(Floats a, Floats b) { return wasm_f32x4_pmax(a, b); }
    static void prefetch(const char*) {}
    static void pin(Floats&) {}
};

}  // namespace
}  // namespace mobilenets
