// Threads that the whole process shares, so that several Sessions never run more of them than there are processors.
#pragma once

#include <atomic>
#include <cstdint>

namespace mobilenets {

// Tells the processor that this is a spin loop; gives the core away when the wait is long (somebody else is on it).
class Spin {
  public:
    void wait();

  private:
    uint32_t turns_ = 0;
};

// Meeting point of the threads of one run. Spinning is right here: the work between two meetings is microseconds.
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
};

// Something that a team does: called once on every thread of the team, thread 0 being the caller's own.
class TeamWork {
  public:
    virtual void run(int thread, int threads) = 0;

  protected:
    ~TeamWork() = default;
};

// A lease on some of the shared threads. Takes as many as are free, up to `wanted` together with the calling thread and
// up to `processors` in the whole process; maybe none, in which case the caller works alone. An idle thread waits
// 0.2 ms for the next piece of work and then sleeps.
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
