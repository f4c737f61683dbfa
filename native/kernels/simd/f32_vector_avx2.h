// Eight floats in an AVX register, with FMA.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace mobilenets {
namespace {

struct Vector {
    using Floats = __m256;
    static constexpr int kWidth = 8, kRegisters = 16;
    static constexpr int kMostRows = 14, kMostColumns = 4;  // of a tile, beyond which there is nothing left to gain
    static constexpr bool kStrides = true;                  // known strides have tiles of their own
    static constexpr bool kMultipliesByMemory = false;      // a product can repeat a value from memory in every lane

    static Floats zero() { return _mm256_setzero_ps(); }
    static Floats broadcast(float value) { return _mm256_set1_ps(value); }
    static Floats load(const float* from) { return _mm256_loadu_ps(from); }
    static Floats load_bytes(const uint8_t* from) {
        return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
    }
    static void store(float* to, Floats value) { _mm256_storeu_ps(to, value); }
    static void store_first(float* to, Floats value, int count) {
        const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_maskstore_ps(to, _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane), value);
    }
    static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
    static Floats subtract(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
    static Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
    static Floats multiply_add(Floats a, Floats b, Floats sum) { return _mm256_fmadd_ps(a, b, sum); }
    static Floats min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
    static Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
    static void prefetch(const char* address) { _mm_prefetch(address, _MM_HINT_T1); }
    // The value must be in a register here: the compiler may neither spill it before nor fold its load into later use.
    static void pin(Floats& value) {
#if defined(__GNUC__)
        __asm__("" : "+x"(value));
#else
        (void)value;
#endif
    }
};

}  // namespace
}  // namespace mobilenets
