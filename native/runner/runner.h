// Runs a plan on images.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "plan/plan.h"
#include "thread_pool.h"

namespace mobilenets {

// Working memory for one image at a time. Made once and used again.
class Context {
  public:
    explicit Context(const Plan& plan);

    uint8_t* map(int32_t index) const { return arena_.data() + plan_.maps()[static_cast<size_t>(index)].offset; }
    uint8_t* scratch(int thread) const;
    const void** rows(int thread) { return rows_.data() + static_cast<size_t>(thread) * rows_per_thread_; }
    const uint8_t* pixel_row(int32_t y) const;

    // Points to an image in an array of `images_bytes` bytes. Rows too near the array's ends to be read past are
    // copied; where the plan needs the input as a map, it is made here.
    void set_image(const uint8_t* image, const uint8_t* images, size_t images_bytes);

    Barrier barrier;
    double* seconds = nullptr;       // where to add up the first thread's time in each stage and single step, or null
    double* step_seconds = nullptr;  // where to add up the time of each step, until all threads have done it, or null

    // For tests of a guarded plan: fill all memory with one byte, and see that it still stands between the maps.
    void poison(uint8_t byte);
    bool intact(uint8_t byte) const;

  private:
    const Plan& plan_;
    Memory arena_, scratch_, edges_;
    std::vector<const void*> rows_;
    std::vector<const uint8_t*> pixel_rows_;
    size_t rows_per_thread_;
};

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
    void write_outputs(const Context& context, int64_t image, float* const* outputs) const;

    std::unique_ptr<Plan> plan_;
    int32_t processors_;
    std::atomic<ContextPool*> pool_;
};

}  // namespace mobilenets
