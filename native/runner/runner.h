// Runs a plan on images.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "context.h"
#include "plan/plan.h"
#include "thread_pool.h"

namespace mobilenets {

class Runner {
  public:
    Runner(std::unique_ptr<Plan> plan, int32_t processors);
    ~Runner();
    Runner(const Runner&) = delete;
    Runner& operator=(const Runner&) = delete;

    const Plan& plan() const { return *plan_; }

    // Reads `count` images, (height, width, channels) bytes each, and writes each output as float32, (channels,
    // height, width) for one image after the other, on at most `threads` threads, or if 0 on all that the plan knows.
    // May be called by several threads at once.
    void run(const uint8_t* images, int64_t count, float* const* outputs, int32_t threads);

    // Seconds of each stage (chains) and step (others) on the calling thread, the least of `repeats` runs by a team of
    // at most `threads`, in order of steps.
    std::vector<double> profile(const uint8_t* image, int32_t repeats, int32_t threads);

    // Seconds of each step on a team of at most `threads`, until the last of them has done it, the least of `repeats`.
    std::vector<double> profile_steps(const uint8_t* image, int32_t repeats, int32_t threads);

    // See Plan::arrange. While nothing else uses this Runner.
    void arrange(const std::vector<ChainChoice>& choices);

    // For tests of a guarded plan: runs one image in memory filled with `byte`, on as many threads as there are, and
    // says whether it wrote nothing between the maps.
    bool run_poisoned(const uint8_t* image, float* const* outputs, uint8_t byte);

  private:
    class PooledContext;
    struct Images;
    struct Apart;

    // Contexts that nobody uses, and the most that there may be.
    struct ContextPool {
        explicit ContextPool(int32_t most_contexts) : most(most_contexts) { free.reserve(static_cast<size_t>(most)); }
        std::mutex mutex;
        std::condition_variable returned;
        std::vector<std::unique_ptr<Context>> free;
        int32_t made = 0, most;
        uint32_t forks = fork_generation();
    };

    ContextPool& pool();
    void run_together(Team& team, const Images& images, std::pair<int64_t, int64_t> range, float* const* outputs);
    std::vector<double> measure(const uint8_t* image, int32_t repeats, int32_t threads, size_t entries,
                                double* Context::* where);

    std::unique_ptr<Plan> plan_;
    int32_t processors_;
    std::atomic<ContextPool*> pool_;
};

}  // namespace mobilenets
