// The instruction sets that this build has, and which of them this processor can run.
#include <cstring>

#include "kernels.h"
#include "resize.h"

#if defined(__x86_64__) || defined(_M_X64)
#define MOBILENETS_X86 1
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif defined(__aarch64__) || defined(_M_ARM64)
#define MOBILENETS_ARM 1
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif
#endif

namespace mobilenets {
namespace {

bool always() {
    return true;
}

#ifdef MOBILENETS_X86

struct Registers {
    uint32_t eax, ebx, ecx, edx;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
    Registers r = {};
#if defined(_MSC_VER) && !defined(__clang__)
    int values[4];
    __cpuidex(values, static_cast<int>(leaf), static_cast<int>(subleaf));
    r = {static_cast<uint32_t>(values[0]), static_cast<uint32_t>(values[1]), static_cast<uint32_t>(values[2]),
         static_cast<uint32_t>(values[3])};
#else
    __cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
#endif
    return r;
}

// The register files that the operating system saves; without it an instruction set is of no use.
uint64_t saved_state() {
#if defined(_MSC_VER) && !defined(__clang__)
    return _xgetbv(0);
#else
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<uint64_t>(high) << 32) | low;
#endif
}

bool bit(uint32_t word, int index) {
    return (word >> index) & 1;
}

struct Features {
    bool avx2 = false, avx_vnni = false, avx512 = false, avx512_vnni = false, avx512_vbmi = false;
};

Features detect() {
    Features found;
    const uint32_t largest = cpuid(0, 0).eax;
    const Registers one = cpuid(1, 0);
    if (largest < 7 || !bit(one.ecx, 27)) return found;  // OSXSAVE
    const uint64_t state = saved_state();
    const bool ymm = (state & 0x6) == 0x6, zmm = (state & 0xE6) == 0xE6;
    const Registers seven = cpuid(7, 0);
    const Registers seven_one = seven.eax >= 1 ? cpuid(7, 1) : Registers{};
    found.avx2 = ymm && bit(seven.ebx, 5) && bit(one.ecx, 12) && bit(one.ecx, 29);  // AVX2, FMA, F16C
    found.avx_vnni = found.avx2 && bit(seven_one.eax, 4);
    // F, DQ, BW, VL: what every processor with AVX-512 since Skylake has
    found.avx512 =
        found.avx2 && zmm && bit(seven.ebx, 16) && bit(seven.ebx, 17) && bit(seven.ebx, 30) && bit(seven.ebx, 31);
    found.avx512_vnni = found.avx512 && bit(seven.ecx, 11);
    found.avx512_vbmi = found.avx512 && bit(seven.ecx, 1);
    return found;
}

const Features& features() {
    static const Features found = detect();
    return found;
}

bool has_avx2() {
    return features().avx2;
}
bool has_avx_vnni() {
    return features().avx_vnni;
}
bool has_avx512() {
    return features().avx512;
}
bool has_avx512_vnni() {
    return features().avx512_vnni;
}

const InstructionSet kSets[] = {
    {"avx512vnni",
     has_avx512_vnni,
     {&kU8Avx512VnniVbmi, &kU8Avx512Vnni, &kU8Avx512Vbmi, &kU8Avx512, &kF32Avx512, &kU8Avx2, &kF32Avx2, &kU8Portable,
      &kF32Portable}},
    {"avx512", has_avx512, {&kU8Avx512, &kF32Avx512, &kU8Avx2, &kF32Avx2, &kU8Portable, &kF32Portable}},
    {"avxvnni", has_avx_vnni, {&kU8AvxVnni, &kU8Avx2, &kF32Avx2, &kU8Portable, &kF32Portable}},
    {"avx2", has_avx2, {&kU8Avx2, &kF32Avx2, &kU8Portable, &kF32Portable}},
    {"portable", always, {&kU8Portable, &kF32Portable}},
};

#elif defined(MOBILENETS_ARM)

#if defined(__linux__)
bool has_dotprod() {
    return (getauxval(AT_HWCAP) >> 20) & 1;  // HWCAP_ASIMDDP
}
bool has_i8mm() {
    return has_dotprod() && ((getauxval(AT_HWCAP2) >> 13) & 1);  // HWCAP2_I8MM
}
#elif defined(__APPLE__)
bool system_says(const char* name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}
bool has_dotprod() {
    return system_says("hw.optional.arm.FEAT_DotProd");
}
bool has_i8mm() {
    return has_dotprod() && system_says("hw.optional.arm.FEAT_I8MM");
}
#else
bool has_dotprod() {
    return false;
}
bool has_i8mm() {
    return false;
}
#endif

const InstructionSet kSets[] = {
    {"neon_i8mm", has_i8mm, {&kU8NeonI8mm, &kU8NeonDotprod, &kU8Neon, &kF32Neon, &kU8Portable, &kF32Portable}},
    {"neon_dotprod", has_dotprod, {&kU8NeonDotprod, &kU8Neon, &kF32Neon, &kU8Portable, &kF32Portable}},
    {"neon", always, {&kU8Neon, &kF32Neon, &kU8Portable, &kF32Portable}},
    {"portable", always, {&kU8Portable, &kF32Portable}},
};

#elif defined(__wasm_simd128__)

const InstructionSet kSets[] = {
#ifdef __wasm_relaxed_simd__
    {"wasm_relaxed_simd", always, {&kU8WasmDot, &kU8Wasm, &kF32Wasm, &kU8Portable, &kF32Portable}},
#endif
    {"wasm_simd", always, {&kU8Wasm, &kF32Wasm, &kU8Portable, &kF32Portable}},
    {"portable", always, {&kU8Portable, &kF32Portable}},
};

#else

const InstructionSet kSets[] = {{"portable", always, {&kU8Portable, &kF32Portable}}};

#endif

bool is_portable(const KernelList* list) {
    return list == &kU8Portable || list == &kF32Portable;
}

}  // namespace

#ifdef MOBILENETS_X86
bool has_avx512_vbmi() {
    return features().avx512_vbmi;
}
#endif

const InstructionSet* instruction_sets(size_t* count) {
    *count = sizeof kSets / sizeof *kSets;
    return kSets;
}

const InstructionSet* find_instruction_set(const char* name) {
    for (const InstructionSet& set : kSets)
        if (std::strcmp(set.name, name) == 0) return &set;
    return nullptr;
}

const InstructionSet* best_instruction_set() {
    for (const InstructionSet& set : kSets)
        if (set.supported()) return &set;
    return nullptr;  // not reached: the portable set is always supported
}

const ResizeLoops& resize_loops(const InstructionSet& set) {
#ifdef MOBILENETS_X86
    if (std::strcmp(set.name, "portable") != 0) return kResizeAvx2;  // which every other set contains
#elif defined(__wasm_simd128__)
    (void)set;
    return kResizeWasm;
#else
    (void)set;
#endif
    return kResizePortable;
}

const Kernel* find_kernel(const InstructionSet& set, const Operation& op) {
    for (const KernelList* const* list = set.lists; *list != nullptr; ++list) {
        if (!(*list)->usable()) continue;
        const bool portable = is_portable(*list);
        if (!op.bounded && !portable) continue;
        for (const Kernel* kernel = (*list)->first; kernel != (*list)->first + (*list)->count; ++kernel) {
            if (op.weight_zero_points && !portable && !kernel->takes_weight_zero_points) continue;
            if (kernel->kind == op.kind && kernel->type == op.type && kernel->fits(op)) return kernel;
        }
    }
    return nullptr;  // not reached: portable kernels fit everything
}

}  // namespace mobilenets
