// Times every kernel that fits on the shapes of MobileNet V1 (and on given ones), one thread.
//
//   kernels_bench [NAME_PART] [WIDTH_MULTIPLIER] [RESOLUTION]
//
// Prints microseconds and multiply-accumulates per nanosecond (GMAC/s); the fastest run counts.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "example.h"

namespace {

using namespace mobilenets;

struct Shape {
    Operation op;
    int32_t pixels;
};

Operation windowed(Kind kind, Type type, int32_t size, int32_t in, int32_t out, int32_t stride) {
    Operation op;
    op.kind = kind;
    op.type = type;
    op.in_channels = in;
    op.out_channels = out;
    op.in_height = op.in_width = size;
    op.out_height = op.out_width = (size + stride - 1) / stride;
    op.kernel = 3;
    op.stride = stride;
    op.pad_top = op.pad_left = ((op.out_width - 1) * stride + 3 - size) / 2;
    return op;
}

std::vector<Shape> shapes(Type type, double width, int32_t resolution) {
    std::vector<Shape> all;
    const auto scaled = [&](int32_t c) { return std::max(8, static_cast<int32_t>(c * width + 1e-9)); };
    const int32_t rows[][2] = {{64, 1},  {128, 2}, {128, 1},  {256, 2}, {256, 1},
                               {512, 2}, {512, 1}, {1024, 2}, {1024, 1}};
    int32_t size = (resolution + 1) / 2, channels = scaled(32);
    all.push_back({windowed(Kind::kStem, type, resolution, 3, channels, 2), 1});
    for (const auto& row : rows) {
        const Operation depthwise = windowed(Kind::kDepthwise, type, size, channels, channels, row[1]);
        all.push_back({depthwise, 1});
        size = depthwise.out_width;
        Operation pointwise;
        pointwise.type = type;
        pointwise.in_height = pointwise.in_width = pointwise.out_height = pointwise.out_width = size;
        pointwise.in_channels = channels;
        pointwise.out_channels = channels = scaled(row[0]);
        all.push_back({pointwise, size * size});
    }
    Operation pool;
    pool.kind = Kind::kAveragePool;
    pool.type = type;
    pool.in_channels = pool.out_channels = channels;
    all.push_back({pool, size * size});
    Operation linear;
    linear.type = type;
    linear.real_output = type == Type::kUint8;
    linear.in_channels = channels;
    linear.out_channels = 1000;
    all.push_back({linear, 1});
    for (Shape& shape : all) {
        shape.op.low_real = shape.op.real_output ? -std::numeric_limits<float>::infinity() : 0;
        shape.op.high_real = shape.op.real_output ? std::numeric_limits<float>::infinity() : 6;
    }
    return all;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string part = argc > 1 ? argv[1] : "";
    const double width = argc > 2 ? std::atof(argv[2]) : 1.0;
    const int32_t resolution = argc > 3 ? std::atoi(argv[3]) : 224;
    const InstructionSet& best = *best_instruction_set();
    std::string last;
    double total = 0;
    for (const Type type : {Type::kUint8, Type::kFloat32}) {
        for (const Shape& shape : shapes(type, width, resolution)) {
            const Example example(shape.op, shape.pixels, 1);
            for (const KernelList* const* list = best.lists; *list != nullptr; ++list) {
                if (!(*list)->usable()) continue;
                for (size_t k = 0; k < (*list)->count; ++k) {
                    const Kernel& kernel = (*list)->first[k];
                    const bool wanted = std::string(kernel.name).find(part) != std::string::npos;
                    if (kernel.kind != shape.op.kind || kernel.type != type || !kernel.fits(shape.op) || !wanted)
                        continue;
                    const double nanoseconds = example.time(kernel, 0.03);
                    total += nanoseconds;
                    std::printf("%-34s %9.2f us %8.1f GMAC/s  %s\n", kernel.name, nanoseconds / 1e3,
                                static_cast<double>(example.macs()) / nanoseconds,
                                describe(shape.op, shape.pixels).c_str());
                }
            }
        }
    }
    std::printf("total %.1f us\n", total / 1e3);
    return 0;
}
