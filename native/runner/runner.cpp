#include "runner.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "execute.h"

namespace mobilenets {
namespace {

// All threads on one image.
struct Together final : TeamWork {
    const Plan* plan = nullptr;
    Context* context = nullptr;
    void run(int thread, int threads) override { execute(*plan, *context, thread, threads); }
};

}  // namespace

Context::Context(const Plan& plan)
    : plan_(plan),
      arena_(plan.arena_bytes()),
      scratch_(plan.scratch_bytes() * static_cast<size_t>(plan.options().threads) + kSlack),
      pixel_rows_(static_cast<size_t>(plan.maps()[0].height)) {
    size_t inputs = 0;
    for (const Step& step : plan.steps()) inputs = std::max(inputs, step.inputs.size());
    // A cache line more, so that two threads do not write into one.
    rows_per_thread_ = std::max(static_cast<size_t>(plan.largest_window()), inputs) + 8;
    rows_.resize(rows_per_thread_ * static_cast<size_t>(plan.options().threads));
    const Map& input = plan.maps()[0];
    const size_t row_bytes = static_cast<size_t>(input.width) * static_cast<size_t>(input.channels);
    const size_t edge_rows = std::min(2 * (kSlack / row_bytes + 1), static_cast<size_t>(input.height));
    edges_ = Memory(kSlack + edge_rows * (row_bytes + kSlack));
}

uint8_t* Context::scratch(int thread) const {
    return scratch_.data() + static_cast<size_t>(thread) * plan_.scratch_bytes();
}

const uint8_t* Context::pixel_row(int32_t y) const {
    return pixel_rows_[static_cast<size_t>(y)];
}

void Context::set_image(const uint8_t* image, const uint8_t* images, size_t images_bytes) {
    const Map& input = plan_.maps()[0];
    const size_t row_bytes = static_cast<size_t>(input.width) * static_cast<size_t>(input.channels);
    const uint8_t* const end = images + images_bytes;
    uint8_t* copy = edges_.data() + kSlack;
    for (size_t y = 0; y < pixel_rows_.size(); ++y) {
        const uint8_t* row = image + y * row_bytes;
        const bool near_edge =
            static_cast<size_t>(row - images) < kSlack || static_cast<size_t>(end - row) < row_bytes + kSlack;
        if (near_edge) {
            std::memcpy(copy, row, row_bytes);
            row = copy;
            copy += row_bytes + kSlack;
        }
        pixel_rows_[y] = row;
    }
    if (!plan_.input_is_map()) return;
    if (input.type == Type::kUint8) {
        std::memcpy(map(0), image, input.bytes());
        return;
    }
    auto* values = reinterpret_cast<float*>(map(0));
    const auto channels = static_cast<size_t>(input.channels);
    for (size_t i = 0; i < static_cast<size_t>(input.pixels()) * channels; ++i) {
        const size_t c = i % channels;
        values[i] = (static_cast<float>(image[i]) - plan_.input_offset()[c]) * plan_.input_scale()[c];
    }
}

void Context::poison(uint8_t byte) {
    std::memset(arena_.data(), byte, arena_.size());
    std::memset(scratch_.data(), byte, scratch_.size());
}

bool Context::intact(uint8_t byte) const {
    std::vector<const Map*> maps;
    for (const Map& map : plan_.maps())
        if (map.last >= 0) maps.push_back(&map);
    std::sort(maps.begin(), maps.end(), [](const Map* a, const Map* b) { return a->offset < b->offset; });
    size_t place = 0;
    const auto clean_until = [&](size_t end) {
        for (; place < end; ++place)
            if (arena_.data()[place] != byte) return false;
        return true;
    };
    for (const Map* map : maps) {
        if (!clean_until(map->offset)) return false;
        place = map->offset + map->bytes();
    }
    const uint8_t* const end = scratch_.data() + scratch_.size();
    return clean_until(arena_.size()) && std::all_of(end - kSlack, end, [&](uint8_t value) { return value == byte; });
}

// A context of the pool for as long as this lives: a free one, a new one or, where there are enough, the next returned.
class Runner::PooledContext {
  public:
    explicit PooledContext(Runner& runner) : pool_(runner.pool()) {
        std::unique_lock<std::mutex> lock(pool_.mutex);
        pool_.returned.wait(lock, [&] { return !pool_.free.empty() || pool_.made < pool_.most; });
        if (pool_.free.empty()) {
            context_ = std::make_unique<Context>(*runner.plan_);
            ++pool_.made;
        } else {
            context_ = std::move(pool_.free.back());
            pool_.free.pop_back();
        }
    }
    ~PooledContext() {
        {
            const std::lock_guard<std::mutex> lock(pool_.mutex);
            pool_.free.push_back(std::move(context_));
        }
        pool_.returned.notify_one();
    }
    PooledContext(const PooledContext&) = delete;
    PooledContext& operator=(const PooledContext&) = delete;

    Context& operator*() const { return *context_; }
    Context* operator->() const { return context_.get(); }

  private:
    ContextPool& pool_;
    std::unique_ptr<Context> context_;
};

Runner::Runner(std::unique_ptr<Plan> plan, int32_t processors)
    : plan_(std::move(plan)),
      processors_(processors),
      pool_(new ContextPool(std::max(processors, plan_->options().threads) + 1)) {}

Runner::~Runner() {
    if (pool_.load()->forks == fork_generation()) delete pool_.load();
}

// A child process must not touch a pool whose mutex a thread of its parent may have held: it begins a new one.
Runner::ContextPool& Runner::pool() {
    ContextPool* current = pool_.load();
    if (current->forks == fork_generation()) return *current;
    auto fresh = std::make_unique<ContextPool>(current->most);
    if (pool_.compare_exchange_strong(current, fresh.get())) return *fresh.release();
    return *current;
}

// Images of one call.
struct Runner::Images {
    const uint8_t* first;
    size_t image_bytes, bytes;  // of one, of all
    const uint8_t* at(int64_t index) const { return first + static_cast<size_t>(index) * image_bytes; }
};

// Each thread on images of its own, from the first to one before `count`.
struct Runner::Apart final : TeamWork {
    Apart(Runner& owner, const Images& given, int64_t end, float* const* results)
        : runner(owner), images(given), count(end), outputs(results) {}
    void run(int, int) override try {
        PooledContext context(runner);
        context->barrier.set_size(1);
        for (int64_t i; (i = next.fetch_add(1)) < count;) {
            context->set_image(images.at(i), images.first, images.bytes);
            execute(*runner.plan_, *context, 0, 1);
            runner.write_outputs(*context, i, outputs);
        }
    } catch (const std::bad_alloc&) {
        failed = true;  // an exception must not leave a thread
    }

    Runner& runner;
    const Images& images;
    const int64_t count;
    float* const* const outputs;
    std::atomic<int64_t> next{0};
    std::atomic<bool> failed{false};
};

void Runner::run(const uint8_t* images, int64_t count, float* const* outputs, int32_t threads) {
    const Map& input = plan_->maps()[0];
    const size_t image_bytes = static_cast<size_t>(input.pixels()) * static_cast<size_t>(input.channels);
    const Images given{images, image_bytes, image_bytes * static_cast<size_t>(count)};
    const int32_t most = plan_->options().threads;
    const int32_t wanted = threads > 0 ? std::min(threads, most) : most;
    Team team(wanted, processors_);
    // Threads with images of their own never wait for each other, and read the weights once for an image, not once
    // each: that pays at every size. What is left over is shared.
    const int64_t apart = team.size() == 1 ? 0 : count / team.size() * team.size();
    if (apart > 0) {
        Apart work(*this, given, apart, outputs);
        team.run(work);
        if (work.failed) throw std::bad_alloc();
    }
    if (apart == count) return;
    run_together(team, given, {apart, count}, outputs);
}

// All threads on one image after the other.
void Runner::run_together(Team& team, const Images& images, std::pair<int64_t, int64_t> range, float* const* outputs) {
    PooledContext context(*this);
    context->barrier.set_size(team.size());
    Together work;
    work.plan = plan_.get();
    work.context = &*context;
    for (int64_t i = range.first; i < range.second; ++i) {
        context->set_image(images.at(i), images.first, images.bytes);
        team.run(work);
        write_outputs(*context, i, outputs);
    }
}

void Runner::write_outputs(const Context& context, int64_t image, float* const* outputs) const {
    for (size_t o = 0; o < plan_->outputs().size(); ++o) {
        const Plan::Output& output = plan_->outputs()[o];
        const Map& map = plan_->maps()[static_cast<size_t>(output.map)];
        const int64_t channels = map.channels, pixels = map.pixels();
        float* to = outputs[o] + image * channels * pixels;
        const uint8_t* from = context.map(output.map);
        if (map.type == Type::kFloat32 && pixels == 1) {
            std::memcpy(to, from, map.bytes());
            continue;
        }
        for (int64_t c = 0; c < channels; ++c) {
            for (int64_t p = 0; p < pixels; ++p) {
                const int64_t i = p * channels + c;
                to[c * pixels + p] =
                    map.type == Type::kFloat32
                        ? reinterpret_cast<const float*>(from)[i]
                        : static_cast<float>(static_cast<int32_t>(from[i]) - output.zero_point) * output.scale;
            }
        }
    }
}

std::vector<double> Runner::profile(const uint8_t* image, int32_t repeats, int32_t threads) {
    size_t entries = 0;
    for (const Step& step : plan_->steps()) entries += std::max<size_t>(1, step.stages.size());
    return measure(image, repeats, threads, entries, &Context::seconds);
}

std::vector<double> Runner::profile_steps(const uint8_t* image, int32_t repeats, int32_t threads) {
    return measure(image, repeats, threads, plan_->steps().size(), &Context::step_seconds);
}

std::vector<double> Runner::measure(const uint8_t* image, int32_t repeats, int32_t threads, size_t entries,
                                    double* Context::* where) {
    const Map& input = plan_->maps()[0];
    const size_t bytes = static_cast<size_t>(input.pixels()) * static_cast<size_t>(input.channels);
    std::vector<double> best(entries, 1e9), now(entries);
    Team team(std::min(threads, plan_->options().threads), processors_);
    PooledContext context(*this);
    context->barrier.set_size(team.size());
    Together work;
    work.plan = plan_.get();
    work.context = &*context;
    for (int32_t i = 0; i < std::max(1, repeats); ++i) {
        std::fill(now.begin(), now.end(), 0.0);
        (*context).*where = now.data();
        context->set_image(image, image, bytes);
        team.run(work);
        for (size_t e = 0; e < entries; ++e) best[e] = std::min(best[e], now[e]);
    }
    (*context).*where = nullptr;
    return best;
}

void Runner::arrange(const std::vector<ChainChoice>& choices) {
    plan_->arrange(choices);
    // The contexts are of the old layout.
    ContextPool* const old = pool_.exchange(new ContextPool(pool().most));
    if (old->forks == fork_generation()) delete old;
}

bool Runner::run_poisoned(const uint8_t* image, float* const* outputs, uint8_t byte) {
    const Map& input = plan_->maps()[0];
    const size_t bytes = static_cast<size_t>(input.pixels()) * static_cast<size_t>(input.channels);
    Team team(plan_->options().threads, plan_->options().threads);
    PooledContext context(*this);
    context->poison(byte);
    context->set_image(image, image, bytes);
    context->barrier.set_size(team.size());
    Together work;
    work.plan = plan_.get();
    work.context = &*context;
    team.run(work);
    write_outputs(*context, 0, outputs);
    return context->intact(byte);
}

}  // namespace mobilenets
