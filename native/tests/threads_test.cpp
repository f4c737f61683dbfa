// Several runners in several threads at once, with teams of many sizes, against one thread alone. Meant to be run under
// ThreadSanitizer, which finds what the comparison of results cannot. Then how threads wait.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "runner/runner.h"

namespace {

using namespace mobilenets;

constexpr int32_t kSide = 33, kClasses = 10;

template <typename Value>
Array array_of(const std::vector<Value>& values) {
    return {values.data(), values.size()};
}

// Stem, two depthwise separable blocks, a sum around the second, a product, pool, linear, and an activation that is no
// clamp after each kind of layer: every kind of step and both ways of sharing one.
std::unique_ptr<Runner> make_runner(Type type, int32_t threads, int32_t processors) {
    const float offset[] = {127, 127, 127}, scale[] = {0.01f, 0.01f, 0.01f};
    PlanOptions options;
    options.type = type;
    options.threads = threads;
    auto plan = std::make_unique<Plan>(*best_instruction_set(), options, 3, kSide, kSide, offset, scale);
    std::mt19937 random(1);
    int32_t channels = 3;
    std::vector<uint8_t> table(256);
    for (uint8_t& byte : table) byte = static_cast<uint8_t>(random());
    const auto add = [&](LayerKind kind, std::vector<int32_t> inputs, int32_t out, int32_t kernel, int32_t stride,
                         Activation activation = Activation::kRelu) {
        const bool depthwise = kind == LayerKind::kDepthwise, integer = type == Type::kUint8;
        const auto weights = static_cast<size_t>(out) * (depthwise ? 1 : channels) * kernel * kernel;
        std::vector<float> weight(weights), bias(static_cast<size_t>(out), 0.1f),
            multiplier(static_cast<size_t>(out), 0.002f);
        std::vector<int8_t> bytes(weights);
        std::vector<int32_t> integers(static_cast<size_t>(out), 100);
        for (float& w : weight) w = static_cast<float>(random() % 200) / 1000 - 0.1f;
        for (int8_t& w : bytes) w = static_cast<int8_t>(random() % 200 - 100);
        Layer layer;
        layer.kind = kind;
        layer.name = "layer" + std::to_string(plan->maps().size());
        layer.inputs = std::move(inputs);
        layer.out_channels = out;
        layer.kernel = kernel;
        layer.stride = stride;
        layer.pad_top = layer.pad_bottom = layer.pad_left = layer.pad_right = kernel / 2;
        layer.real_output = integer && kind == LayerKind::kLinear;
        layer.activation = activation;
        bool weighted = false;
        switch (kind) {
            case LayerKind::kConvolution:
            case LayerKind::kDepthwise:
            case LayerKind::kPointwise:
            case LayerKind::kLinear:
                weighted = true;
                break;
            case LayerKind::kAdd:
                multiplier.assign(layer.inputs.size() + 1, 0.7f);
                integers.assign(layer.inputs.size(), 0);
                break;
            case LayerKind::kMultiply:
                multiplier.assign(1, 0.01f);
                integers.assign(2, 0);
                break;
            case LayerKind::kAveragePool:
                multiplier.assign(1, 0.01f);
                integers.assign(1, 0);
                break;
            case LayerKind::kMaxPool:
            case LayerKind::kConcatenate:
                break;
        }
        if (weighted) layer.weight = integer ? array_of(bytes) : array_of(weight);
        if (weighted || integer) layer.bias = integer ? array_of(integers) : array_of(bias);
        layer.multiplier = array_of(multiplier);
        if (integer && !layer.real_output && !is_clamp(activation)) layer.table = array_of(table);
        channels = out;
        const int32_t made = plan->add(layer);
        plan->pack_pending();  // while the arrays are there
        return made;
    };
    const Activation swish = Activation::kHardSwish, sigmoid = Activation::kHardSigmoid, none = Activation::kNone;
    int32_t map = add(LayerKind::kConvolution, {0}, 16, 3, 2, swish);
    map = add(LayerKind::kDepthwise, {map}, 16, 3, 1);
    map = add(LayerKind::kPointwise, {map}, 64, 1, 1, swish);
    const int32_t before = map;
    map = add(LayerKind::kDepthwise, {map}, 64, 3, 1, swish);
    map = add(LayerKind::kPointwise, {map}, 64, 1, 1);
    map = add(LayerKind::kAdd, {before, map}, 64, 1, 1, swish);
    const int32_t whole = map;
    map = add(LayerKind::kAveragePool, {map}, 64, 1, 1, none);
    map = add(LayerKind::kPointwise, {map}, 64, 1, 1, sigmoid);
    map = add(LayerKind::kMultiply, {whole, map}, 64, 1, 1);
    map = add(LayerKind::kDepthwise, {map}, 64, 5, 3);
    map = add(LayerKind::kPointwise, {map}, 128, 1, 1);
    map = add(LayerKind::kAveragePool, {map}, 128, 1, 1, none);
    map = add(LayerKind::kLinear, {map}, kClasses, 1, 1, swish);
    plan->finish({{map, 1.0f, 0}});
    return std::make_unique<Runner>(std::move(plan), processors);
}

int failed(const char* what) {
    std::printf("FAILED: %s\n", what);
    return 1;
}

// A thread that another keeps waiting for 0.3 s, at a meeting or for the end of its work, uses little processor time.
int try_waiting() {
    struct Late final : TeamWork {
        Barrier barrier;
        bool meeting = false;
        void run(int thread, int threads) override {
            if (threads == 1) return;
            if (thread == 1) std::this_thread::sleep_for(std::chrono::milliseconds(300));
            if (meeting) barrier.meet(thread);
        }
    };
    int failures = 0;
    for (const bool meeting : {false, true}) {
        Late work;
        work.meeting = meeting;
        Team team(2, 2);
        if (team.size() != 2) return failed("a team of two");
        work.barrier.set_size(2);
        const std::clock_t before = std::clock();
        team.run(work);
        const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
        if (seconds > 0.1) failures += failed(meeting ? "a thread spins at a meeting" : "a thread spins for the end");
    }
    return failures;
}

}  // namespace

int main() {
    constexpr int64_t kImages = 5;
    std::vector<uint8_t> images(static_cast<size_t>(kImages) * kSide * kSide * 3);
    std::mt19937 random(2);
    for (uint8_t& byte : images) byte = static_cast<uint8_t>(random());
    std::atomic<int> failures{0};
    for (const Type type : {Type::kUint8, Type::kFloat32}) {
        std::vector<float> expected(kImages * kClasses);
        float* const target[] = {expected.data()};
        make_runner(type, 1, 1)->run(images.data(), kImages, target, 0);
        // Two runners, each used by three threads, wanting more threads than there are.
        const std::unique_ptr<Runner> runners[] = {make_runner(type, 3, 8), make_runner(type, 12, 8)};
        std::vector<std::thread> callers;
        for (int caller = 0; caller < 6; ++caller) {
            callers.emplace_back([&, caller] {
                for (int turn = 0; turn < 20; ++turn) {
                    const int64_t count = 1 + (caller + turn) % kImages;
                    std::vector<float> result(static_cast<size_t>(count) * kClasses);
                    float* const outputs[] = {result.data()};
                    runners[caller % 2]->run(images.data(), count, outputs, turn % 3);
                    for (size_t i = 0; i < result.size(); ++i) failures += result[i] != expected[i];
                }
            });
        }
        for (std::thread& caller : callers) caller.join();
    }
    failures += try_waiting();
    stop_threads();
    std::printf("%d differences\n", failures.load());
    return failures ? 1 : 0;
}
