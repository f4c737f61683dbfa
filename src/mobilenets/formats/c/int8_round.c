//@ processor
/* The instructions below need more registers than clang, or a compiler without optimization, has to spare. */
#if defined(__clang__) || (defined(__GNUC__) && !defined(__OPTIMIZE__))
#define PLAIN
#elif defined(__ARM_FEATURE_MVE) && __ARM_FEATURE_MVE & 2
#define HELIUM
#include <arm_mve.h>
#elif defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP && defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 2
#define SIGNAL_PROCESSING
#endif
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline, optimize("omit-frame-pointer"))) /* one register more */
#elif defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))
#else
#define INLINE static inline
#define APART static
#endif
//@ nearest: processor
/* The integer nearest to sum * multiplier, a product that is rounded to a float first; of two the even one. */
#if defined(__ARM_FP) && __ARM_FP & 4 && defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 2
/* Cortex-M with floating point: one instruction, which rounds as the processor is set (to nearest, after a reset). */
INLINE int nearest(int32_t sum, float multiplier)
{
    union {
        float real;
        int32_t integer;
    } result;
    __asm__("vcvtr.s32.f32 %0, %1" : "=t"(result.real) : "t"((float)sum * multiplier));
    return result.integer;
}
#elif defined(__SOFTFP__) || (defined(__riscv) && !defined(__riscv_flen))
/* No floating point. The multiplier is mantissa * 2^-shift, the mantissa of 24 bits; what is exact in 64 bits is close
   enough in 32 unless it lies close to a half. */

/* In 64 bits. Rounding the product to a float first could change the result only where it lies as close to a half as
   half a unit of the 24th bit; there, and for numbers of unusual size, the float is computed. */
APART int nearest_of_all(int32_t sum, uint32_t size, float multiplier, uint32_t mantissa, int shift)
{
    if (size < 1u << 24 && mantissa >= 1u << 23 && shift >= 24 && shift < 64) {
        const uint64_t product = (uint64_t)size * mantissa;
        const uint64_t half = (uint64_t)1 << (shift - 1), rest = product & (half * 2 - 1);
        if ((rest > half ? rest - half : half - rest) > product >> 24 && product >> shift < 1 << 20) {
            const int whole = (int)(product >> shift) + (rest > half);
            return sum < 0 ? -whole : whole;
        }
    }
    const float value = (float)sum * multiplier;
    return value < -1e6f ? -1000000 : value > 1e6f ? 1000000 : (int)rintf(value);
}

INLINE int nearest(int32_t sum, float multiplier)
{
    union {
        float real;
        uint32_t bits;
    } factor;
    factor.real = multiplier;
    const uint32_t size = sum < 0 ? 0u - (uint32_t)sum : (uint32_t)sum;
    const uint32_t upper = (factor.bits << 9 >> 17) | 0x8000; /* of the mantissa */
    const uint32_t shift = 150 - (factor.bits >> 23);
    if (shift - 30 < 32) {
        const uint32_t fewer = size >> (shift - 30);
        if (fewer >= 1u << 15) {
            return sum < 0 ? -256 : 256; /* or beyond, as no byte is */
        }
        /* In units of 2^-22; what was cut off adds less than `more`, and a float's rounding less than 2^9. */
        const uint32_t least = fewer * upper + (1u << 21) - (1u << 9), more = fewer + upper + (1u << 10);
        const int whole = (int)(least >> 22);
        if ((least + more) >> 22 == (uint32_t)whole) {
            return sum < 0 ? -whole : whole;
        }
    }
    return nearest_of_all(sum, size, multiplier, (factor.bits & 0x7fffff) | (factor.bits >> 23 ? 0x800000 : 0), (int)shift);
}
#else
/* A float of 3 * 2^22 has no bits behind the point: what is added to it is rounded. */
INLINE int nearest(int32_t sum, float multiplier)
{
    const float value = (float)sum * multiplier;
    union {
        float real;
        int32_t bits;
    } rounded;
    rounded.real = (value < -1e6f ? -1e6f : value > 1e6f ? 1e6f : value) + 12582912.0f;
    return rounded.bits - 0x4b400000;
}
#endif
//@ store: nearest activate processor
/* What a sum becomes, copied out of the layer: stores of bytes do not make a compiler read it again. */
struct result {
    int zero, least, most;
    const uint8_t *table;
};

INLINE struct result result_of(const struct layer *layer)
{
    const struct result result = {layer->out_zero, layer->least, layer->most, layer->table};
    return result;
}

INLINE uint8_t to_output(struct result result, uint32_t sum, float multiplier)
{
    int value = nearest((int32_t)sum, multiplier);
    value = value < result.least ? result.least : value > result.most ? result.most : value;
    value += result.zero;
    return result.table ? result.table[value] : (uint8_t)value;
}
#ifdef SIGNAL_PROCESSING
/* Whether a result is every byte, and no table follows: one instruction then bounds it. */
INLINE int every_byte(struct result result)
{
    return result.least == -result.zero && result.most == 255 - result.zero && !result.table;
}

INLINE uint8_t to_any_byte(int zero, uint32_t sum, float multiplier)
{
    int value = nearest((int32_t)sum, multiplier);
    if (zero != 0) {
        __asm__("qadd %0, %0, %1" : "+r"(value) : "r"(zero));
    }
    __asm__("usat %0, #8, %0" : "+r"(value));
    return (uint8_t)value;
}
#endif

#ifdef HELIUM
/* Four results at a time, as bytes that are still 32 bits wide. */
INLINE uint32x4_t to_outputs(struct result result, int32x4_t sums, float32x4_t multipliers)
{
    int32x4_t values = vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums), multipliers));
    values = vmaxq_s32(vminq_s32(values, vdupq_n_s32(result.most)), vdupq_n_s32(result.least));
    const uint32x4_t bytes = vreinterpretq_u32_s32(vaddq_n_s32(values, result.zero));
    return result.table ? vldrbq_gather_offset_u32(result.table, bytes) : bytes;
}
#endif

/* One result: into bytes where there are any, or else into floats. */
static void store(const struct layer *layer, uint32_t sum, float multiplier, uint8_t *bytes, float *reals, int index)
{
    if (bytes) {
        bytes[index] = to_output(result_of(layer), sum, multiplier);
    } else {
        reals[index] = activate((float)(int32_t)sum * multiplier, layer->activation);
    }
}
