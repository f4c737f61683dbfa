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
            write_outputs(*runner.plan_, *context, i, outputs);
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
        write_outputs(*plan_, *context, i, outputs);
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
    write_outputs(*plan_, *context, 0, outputs);
    return context->intact(byte);
}

}  // namespace mobilenets
