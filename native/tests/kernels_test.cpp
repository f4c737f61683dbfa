// Every kernel of every instruction set that this processor has, against the portable one: over awkward sizes, whole
// and cut into parts, with canaries around everything that it is given.
//
//   kernels_test [NAME_PART] [CASES]     exit code 1 and one line per failure; NAME_PART picks kernels by name
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "example.h"

namespace {

using namespace mobilenets;

struct Case {
    Operation op;
    int32_t pixels;
};

int pick(std::mt19937& random, std::initializer_list<int> choices) {
    return *(choices.begin() + random() % choices.size());
}

// Channels below, at and above the tiles, a prime, and those of the published networks.
int channels(std::mt19937& random) {
    return pick(random, {1,  2,  3,  4,  5,  7,  8,  9,  12, 15, 16,  17,  20,  23,  24,  31,  32,  33,  40, 47,
                         48, 49, 56, 63, 64, 65, 80, 95, 96, 97, 101, 112, 127, 128, 129, 160, 192, 193, 256});
}

Case random_case(std::mt19937& random, Kind kind, Type type) {
    Operation op;
    op.kind = kind;
    op.type = type;
    op.in_channels = channels(random);
    const bool dense = kind == Kind::kConvolution || kind == Kind::kStem;
    op.out_channels = kind == Kind::kPointwise || dense ? channels(random) : op.in_channels;
    int32_t pixels = pick(random, {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 27, 28, 29, 31, 49, 50, 64, 97});
    const float infinity = std::numeric_limits<float>::infinity();
    const int activation = pick(random, {0, 1, 2});
    op.low_real = activation == 0 ? -infinity : 0;
    op.high_real = activation == 2 ? 6 : infinity;
    const bool weighted = kind == Kind::kPointwise || kind == Kind::kDepthwise || dense || kind == Kind::kAveragePool;
    op.real_output = type == Type::kUint8 && weighted && random() % 6 == 0;
    op.out_zero_point = activation == 0 ? pick(random, {0, 3, 128, 200, 255}) : pick(random, {0, 0, 0, 7});
    op.low = activation == 0 ? 0 : op.out_zero_point;
    op.high = activation == 2 ? pick(random, {255, 255, 180, 101}) : 255;
    op.padding_value = type == Type::kUint8 && kind != Kind::kMaxPool ? pick(random, {0, 0, 0, 1, 128, 255}) : 0;
    if (kind == Kind::kPointwise) {
        op.in_width = op.out_width = pixels;
        if (random() % 4 == 0) {  // what kernels for large layers take
            op.in_channels = pick(random, {96, 128, 160, 256, 512, 1024});
            op.out_channels = pick(random, {32, 64, 96, 128, 192});
        }
    }
    if (kind == Kind::kSum) op.inputs = pick(random, {1, 2, 2, 3, 5});
    if (kind == Kind::kProduct) op.inputs = 2, op.per_channel = random() % 2 == 0;
    if (kind == Kind::kActivation) op.activation = random() % 2 ? Activation::kHardSwish : Activation::kHardSigmoid;
    if (kind == Kind::kStem) op.in_channels = pick(random, {3, 3, 3, 3, 1, 4});
    if (kind == Kind::kStem) op.out_channels = pick(random, {8, 16, 24, 32, 1, 4, 10, 17, 33, 48, 64});
    if (kind == Kind::kConvolution) op.in_channels = pick(random, {1, 4, 8, 12, 16, 20, 32});
    if (kind == Kind::kDepthwise || dense || kind == Kind::kMaxPool) {
        op.kernel = dense ? pick(random, {3, 3, 3, 3, 7, 2}) : pick(random, {3, 3, 3, 3, 3, 5, 2, 1, 4});
        op.stride = dense ? pick(random, {2, 2, 2, 1, 4}) : pick(random, {1, 1, 2, 2, 3});
        const auto side = [&](int32_t* in, int32_t* before, int32_t* out) {
            const auto amount = [&] { return static_cast<int32_t>(random() % static_cast<uint32_t>(op.kernel)); };
            *before = random() % 2 ? (op.kernel - 1) / 2 : amount();
            const int32_t after = random() % 2 ? (op.kernel - 1) / 2 : amount();
            *in = pick(random, {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 14, 15, 16, 17, 21, 31, 32, 33, 49, 64, 67, 80});
            *in = std::max(*in, op.kernel - *before - after);
            *out = (*in + *before + after - op.kernel) / op.stride + 1;
        };
        side(&op.in_height, &op.pad_top, &op.out_height);
        side(&op.in_width, &op.pad_left, &op.out_width);
    }
    return {op, pixels};
}

// Whether two results are the same: bit for bit for integers and activations, within rounding for other floats.
bool same(const Operation& op, const Bytes& expected, const Bytes& got) {
    if (expected.size() != got.size()) return false;
    if (op.type == Type::kUint8 || op.kind == Kind::kActivation) return expected == got;
    float largest = 1;
    const auto at = [](const Bytes& bytes, size_t i) {
        float value;
        std::memcpy(&value, bytes.data() + 4 * i, 4);
        return value;
    };
    for (size_t i = 0; i < expected.size() / 4; ++i)
        if (std::isfinite(at(expected, i))) largest = std::max(largest, std::min(100.0f, std::fabs(at(expected, i))));
    for (size_t i = 0; i < expected.size() / 4; ++i) {
        const float a = at(expected, i), b = at(got, i);
        if (a != b && !(std::fabs(a - b) <= 1e-5f * std::max(largest, std::fabs(a)))) return false;
    }
    return true;
}

int check(const Kernel& kernel, int cases) {
    int failures = 0, fitting = 0;
    std::mt19937 random(7);
    for (int i = 0; i < 50 * cases && fitting < cases && failures < 5; ++i) {
        Case c = random_case(random, kernel.kind, kernel.type);
        c.op.weight_zero_points = kernel.takes_weight_zero_points && random() % 4 == 0;
        if (!kernel.fits(c.op)) continue;
        ++fitting;
        const Example example(c.op, c.pixels, static_cast<uint32_t>(i));
        const InstructionSet portable = *find_instruction_set("portable");
        const Bytes expected = example.run(*find_kernel(portable, c.op));
        const Bytes whole = example.run(kernel), parts = example.run(kernel, 3);
        const char* wrong = whole.empty() || parts.empty() ? "writes out of bounds"
                            : !same(c.op, expected, whole) ? "differs from the portable kernel"
                            : whole != parts               ? "depends on how the work is cut"
                                                           : nullptr;
        if (wrong != nullptr) {
            ++failures;
            std::printf("%s %s: %s\n", kernel.name, wrong, describe(c.op, c.pixels).c_str());
        }
    }
    std::printf("%-36s %s (%d cases)\n", kernel.name, failures ? "FAILED" : "ok", fitting);
    return failures;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string part = argc > 1 ? argv[1] : "";
    const int cases = argc > 2 ? std::atoi(argv[2]) : 300;
    int failures = 0;
    size_t count = 0;
    const InstructionSet* sets = instruction_sets(&count);
    std::string seen;
    for (size_t i = 0; i < count; ++i) {
        if (!sets[i].supported()) {
            std::printf("%s is not supported by this processor\n", sets[i].name);
            continue;
        }
        for (const KernelList* const* list = sets[i].lists; *list != nullptr; ++list) {
            if (!(*list)->usable()) continue;
            for (size_t k = 0; k < (*list)->count; ++k) {
                const Kernel& kernel = (*list)->first[k];
                const std::string name = std::string(kernel.name) + "\n";
                if (seen.find(name) != std::string::npos || name.find(part) == std::string::npos) continue;
                seen += name;
                failures += check(kernel, cases);
            }
        }
    }
    return failures ? 1 : 0;
}
