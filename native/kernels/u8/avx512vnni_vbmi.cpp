// uint8 kernels for AVX-512 with VNNI and VBMI.
#include "kernels/simd/avx512.h"
#include "x86.h"

namespace mobilenets {
namespace {

// Bytes of the window of each pixel, of two vectors side by side: the first four, the next four, and the ninth.
template <bool kForEight>
struct WindowBytes {
    alignas(64) uint8_t first[64] = {}, second[64] = {}, ninth[64] = {};
    constexpr WindowBytes() {
        for (int i = 0; i < 64; ++i) {
            const int group = i / 16, dword = i % 16 / 4;
            const int pixel = kForEight ? dword / 2 * 8 + 2 * group + dword % 2 : 4 * dword + group;
            first[i] = static_cast<uint8_t>(6 * pixel + i % 4);
            second[i] = static_cast<uint8_t>(6 * pixel + 4 + i % 4);
            ninth[i] = static_cast<uint8_t>(6 * pixel + 8);
        }
    }
};
template <bool kForEight>
constexpr WindowBytes<kForEight> kWindowBytes{};

struct Simd : Avx512<true> {
    static constexpr bool kOrdersPixels = true;

    template <bool kForEight>
    static MOBILENETS_INLINE void load_ordered_windows(Int low, Int high, Int& first, Int& second, Int& ninth) {
        first = _mm512_permutex2var_epi8(low, load(kWindowBytes<kForEight>.first), high);
        second = _mm512_permutex2var_epi8(low, load(kWindowBytes<kForEight>.second), high);
        ninth = _mm512_permutex2var_epi8(low, load(kWindowBytes<kForEight>.ninth), high);
    }
    static MOBILENETS_INLINE Int join_ordered_ninths(Int a, Int b, Int c) {
        return _mm512_mask_mov_epi8(_mm512_mask_mov_epi8(a, 0x2222222222222222, b), 0x4444444444444444, c);
    }
};

struct OrderedStem : StemRgb<Simd> {
    static bool fits(const Operation& op) {
        return StemRgb<Simd>::fits(op) && (op.out_channels == 8 || op.out_channels % 16 == 0);
    }
};

const Kernel kKernels[] = {u8_kernel<Simd, OrderedStem, Kind::kStem>("u8_stem_3x3s2_16_avx512vbmi")};

}  // namespace

const KernelList kU8Avx512VnniVbmi = {kKernels, sizeof kKernels / sizeof *kKernels, has_avx512_vbmi};

}  // namespace mobilenets
