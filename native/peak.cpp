#include "peak.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#if (defined(__x86_64__) || defined(__aarch64__)) && defined(__GNUC__)
#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

namespace mobilenets {
namespace {

constexpr int kChains = 12;  // independent sums: more than latency times throughput of any of these instructions
constexpr int kTurns = 20000;

// Each function runs kTurns · kChains instructions that the compiler can neither drop nor merge: `asm` claims to change
// every sum.
#define MOBILENETS_TWELVE(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define MOBILENETS_DECLARE(I) auto s##I = zero;
#if defined(__x86_64__)
#define MOBILENETS_KEEP(X) __asm__ volatile("" : "+v"(X));
#else
#define MOBILENETS_KEEP(X) __asm__ volatile("" : "+w"(X));
#endif
#define MOBILENETS_PEAK(NAME, ATTRIBUTE, ZERO)      \
    ATTRIBUTE void NAME() {                         \
        const auto zero = ZERO;                     \
        auto a = zero, b = zero;                    \
        MOBILENETS_KEEP(a)                          \
        MOBILENETS_KEEP(b)                          \
        MOBILENETS_TWELVE(MOBILENETS_DECLARE)       \
        for (int turn = 0; turn < kTurns; ++turn) { \
            MOBILENETS_TWELVE(MOBILENETS_STEP)      \
        }                                           \
    }

#if defined(__x86_64__)
#define MOBILENETS_STEP(I)                  \
    s##I = _mm512_dpbusd_epi32(s##I, a, b); \
    MOBILENETS_KEEP(s##I)
MOBILENETS_PEAK(dot_512, __attribute__((target("avx512f,avx512vnni"))), _mm512_setzero_si512())
#undef MOBILENETS_STEP
#define MOBILENETS_STEP(I)              \
    s##I = _mm512_fmadd_ps(a, b, s##I); \
    MOBILENETS_KEEP(s##I)
MOBILENETS_PEAK(fma_512, __attribute__((target("avx512f"))), _mm512_setzero_ps())
#undef MOBILENETS_STEP
#define MOBILENETS_STEP(I)              \
    s##I = _mm256_fmadd_ps(a, b, s##I); \
    MOBILENETS_KEEP(s##I)
MOBILENETS_PEAK(fma_256, __attribute__((target("avx2,fma"))), _mm256_setzero_ps())
#undef MOBILENETS_STEP
// Full-range bytes without a dot product: widened to 16 bits, sixteen products at a time.
#define MOBILENETS_STEP(I)             \
    s##I = _mm256_madd_epi16(a, s##I); \
    MOBILENETS_KEEP(s##I)
MOBILENETS_PEAK(madd_256, __attribute__((target("avx2"))), _mm256_setzero_si256())
#undef MOBILENETS_STEP
#define MOBILENETS_STEP(I)             \
    s##I = _mm512_madd_epi16(a, s##I); \
    MOBILENETS_KEEP(s##I)
MOBILENETS_PEAK(madd_512, __attribute__((target("avx512f,avx512bw"))), _mm512_setzero_si512())
#undef MOBILENETS_STEP
#define MOBILENETS_STEP(I)                      \
    s##I = _mm256_dpbusd_avx_epi32(s##I, a, b); \
    MOBILENETS_KEEP(s##I)
MOBILENETS_PEAK(dot_256, __attribute__((target("avx2,avxvnni"))), _mm256_setzero_si256())
#else
#define MOBILENETS_STEP(I)        \
    s##I = vfmaq_f32(s##I, a, b); \
    MOBILENETS_KEEP(s##I)
MOBILENETS_PEAK(fma_128, , vdupq_n_f32(0))
#endif

struct Loop {
    const char* set;
    Type type;
    void (*run)();
    int macs;  // of one instruction
};

const Loop kLoops[] = {
#if defined(__x86_64__)
    {"avx512vnni", Type::kUint8, dot_512, 64}, {"avx512vnni", Type::kFloat32, fma_512, 16},
    {"avx512", Type::kUint8, madd_512, 32},    {"avx512", Type::kFloat32, fma_512, 16},
    {"avxvnni", Type::kUint8, dot_256, 32},    {"avxvnni", Type::kFloat32, fma_256, 8},
    {"avx2", Type::kUint8, madd_256, 16},      {"avx2", Type::kFloat32, fma_256, 8},
#else
    {"neon_i8mm", Type::kFloat32, fma_128, 4},
    {"neon_dotprod", Type::kFloat32, fma_128, 4},
    {"neon", Type::kFloat32, fma_128, 4},
#endif
};

}  // namespace

double measure_peak(const InstructionSet& set, Type type) {
    for (const Loop& loop : kLoops) {
        if (loop.type != type || std::strcmp(loop.set, set.name) != 0 || !set.supported()) continue;
        double best = 1e9;
        for (int repeat = 0; repeat < 30; ++repeat) {
            const auto begin = std::chrono::steady_clock::now();
            loop.run();
            best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
        }
        return static_cast<double>(loop.macs) * kTurns * kChains / best;
    }
    return 0;
}

}  // namespace mobilenets

#else

namespace mobilenets {

double measure_peak(const InstructionSet&, Type) {
    return 0;
}

}  // namespace mobilenets

#endif
