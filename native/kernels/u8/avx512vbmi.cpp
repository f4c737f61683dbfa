// uint8 kernels for AVX-512 with VBMI.
#include <immintrin.h>

#include "table.h"

namespace mobilenets {
namespace {

// The table in four registers: two permutations look seven bits up in a half each, and the eighth chooses.
struct Lookup {
    static constexpr int kBytes = 64;
    __m512i quarters[4];

    explicit Lookup(const uint8_t* table) {
        for (int i = 0; i < 4; ++i) quarters[i] = _mm512_loadu_si512(table + 64 * i);
    }
    void apply(const uint8_t* in, uint8_t* out) const {
        const __m512i index = _mm512_loadu_si512(in);
        const __m512i low = _mm512_permutex2var_epi8(quarters[0], index, quarters[1]);
        const __m512i high = _mm512_permutex2var_epi8(quarters[2], index, quarters[3]);
        _mm512_storeu_si512(out, _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high));
    }
};

const Kernel kKernels[] = {u8_table<Lookup>("u8_activation_64_avx512vbmi")};

}  // namespace

const KernelList kU8Avx512Vbmi = {kKernels, sizeof kKernels / sizeof *kKernels, has_avx512_vbmi};

}  // namespace mobilenets
