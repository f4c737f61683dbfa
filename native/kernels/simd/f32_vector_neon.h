// Four floats in a NEON register.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace mobilenets {
namespace {

struct Vector {
    using Floats = float32x4_t;
    static constexpr int kWidth = 4, kRegisters = 32;
    static constexpr int kMostRows = 14, kMostColumns = 4;  // of a tile, beyond which there is nothing left to gain
    static constexpr bool kStrides = true;                  // known strides have tiles of their own
    static constexpr bool kMultipliesByMemory = false;      // a product can repeat a value from memory in every lane

    static Floats zero() { return vdupq_n_f32(0); }
    static Floats broadcast(float value) { return vdupq_n_f32(value); }
    static Floats load(const float* from) { return vld1q_f32(from); }
    static Floats load_bytes(const uint8_t* from) {
        uint32_t word;
        std::memcpy(&word, from, sizeof word);
        const uint16x8_t wide = vmovl_u8(vcreate_u8(word));
        return vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)));
    }
    static void store(float* to, Floats value) { vst1q_f32(to, value); }
    static void store_first(float* to, Floats value, int count) {
        float lanes[kWidth];
        vst1q_f32(lanes, value);
        std::memcpy(to, lanes, static_cast<size_t>(count) * sizeof(float));
    }
    static Floats add(Floats a, Floats b) { return vaddq_f32(a, b); }
    static Floats subtract(Floats a, Floats b) { return vsubq_f32(a, b); }
    static Floats multiply(Floats a, Floats b) { return vmulq_f32(a, b); }
    static Floats multiply_add(Floats a, Floats b, Floats sum) { return vfmaq_f32(sum, a, b); }
    static Floats min(Floats a, Floats b) { return vminq_f32(a, b); }
    static Floats max(Floats a, Floats b) { return vmaxq_f32(a, b); }
    static void prefetch(const char* address) {
#if defined(__GNUC__)
        __builtin_prefetch(address, 0, 2);
#else
        (void)address;
#endif
    }
    // The value must be in a register here: the compiler may neither spill it before nor fold its load into later use.
    static void pin(Floats& value) {
#if defined(__GNUC__)
        __asm__("" : "+w"(value));
#else
        (void)value;
#endif
    }
};

}  // namespace
}  // namespace mobilenets
