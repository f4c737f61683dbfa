// Threads that the whole process shares, so that several Sessions never run more of them than there are processors.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace mobilenets {

// How long one thread spins before it sleeps. Most waits are microseconds, and waking a thread takes longer than that;
// but a thread that spins beside other busy processes takes the core that the one it waits for needs. So after a wait
// that no spin would have lasted through the next one spins for half as long, and after a short one for twice as long.
class Patience {
  public:
    explicit Patience(std::chrono::nanoseconds longest) : longest_(longest), spin_(longest) {}

    std::chrono::nanoseconds spin() const { return spin_; }
    void learn(std::chrono::nanoseconds waited);

  private:
    std::chrono::nanoseconds longest_, spin_;
};

// Where threads wait until others have changed something. What they wait for is read and changed with sequential
// consistency, so that either the waiting thread sees the change, or the changing one sees that it sleeps.
class alignas(64) WaitingPlace {
  public:
    // Returns when `done` says so. It is asked under a lock at times and must not wait itself.
    template <typename Done>
    void wait(Patience& patience, Done done);

    // To be called after each change.
    void wake() {
        if (asleep_.load() != 0) wake_sleepers();
    }

  private:
    void wake_sleepers();

    std::atomic<int> asleep_{0};
    std::mutex mutex_;
    std::condition_variable changed_;
};

// Meeting point of the threads of one run.
// Every thread counts its meetings in a cache line of its own and reads those of the others, so that a meeting costs
// one transfer between two cores; large teams count in one place instead.
class Barrier {
  public:
    // Called while nobody meets.
    void set_size(int size);
    void meet(int thread);

  private:
    static constexpr int kFew = 8;
    struct alignas(64) Count {
        std::atomic<uint32_t> value{0};
    };
    int size_ = 1;
    Count counts_[kFew];
    Count arrived_, generation_;
    WaitingPlace place_;
};

// Something that a team does: called once on every thread of the team, thread 0 being the caller's own.
class TeamWork {
  public:
    virtual void run(int thread, int threads) = 0;

  protected:
    ~TeamWork() = default;
};

// A lease on some of the shared threads. Takes as many as are free, up to `wanted` together with the calling thread and
// up to `processors` in the whole process; maybe none, in which case the caller works alone. An idle thread spins for
// at most 0.2 ms and then sleeps.
class Team {
  public:
    Team(int wanted, int processors);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const { return size_; }

    // Runs the work on every thread of the team and returns when all are done.
    void run(TeamWork& work);

  private:
    static constexpr int kLargest = 256;
    int size_ = 1;
    void* workers_[kLargest];
    uint32_t fork_generation_;
};

// Ends all shared threads; they are started again when they are needed.
void stop_threads();

// Counts the forks between the first process and this one: what belonged to threads then is worthless now.
uint32_t fork_generation();

}  // namespace mobilenets
