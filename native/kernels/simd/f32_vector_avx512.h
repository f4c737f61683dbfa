// Sixteen floats in an AVX-512 register.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace mobilenets {
namespace {

struct Vector {
    using Floats = __m512;
    static constexpr int kWidth = 16, kRegisters = 32;
    static constexpr int kMostRows = 14, kMostColumns = 4;  // of a tile, beyond which there is nothing left to gain
    static constexpr bool kStrides = true;                  // known strides have tiles of their own
    static constexpr bool kMultipliesByMemory = true;       // a product can repeat a value from memory in every lane

    static Floats zero() { return _mm512_setzero_ps(); }
    static Floats broadcast(float value) { return _mm512_set1_ps(value); }
    static Floats load(const float* from) { return _mm512_loadu_ps(from); }
    static Floats load_bytes(const uint8_t* from) {
        return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
    }
    static void store(float* to, Floats value) { _mm512_storeu_ps(to, value); }
    static void store_first(float* to, Floats value, int count) {
        _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), value);
    }
    static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
    static Floats subtract(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
    static Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
    static Floats multiply_add(Floats a, Floats b, Floats sum) { return _mm512_fmadd_ps(a, b, sum); }
    static Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
    static Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
    static void prefetch(const char* address) { _mm_prefetch(address, _MM_HINT_T1); }
    // The value must be in a register here: the compiler may neither spill it before nor fold its load into later use.
    static void pin(Floats& value) {
#if defined(__GNUC__)
        __asm__("" : "+v"(value));
#else
        (void)value;
#endif
    }
};

}  // namespace
}  // namespace mobilenets
