#include "thread_pool.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define MOBILENETS_FORKS 1
#endif

namespace mobilenets {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr microseconds kShortestSpin{5};
constexpr microseconds kLongestMeeting{50};  // that a thread spins for while the others of its team work
constexpr microseconds kLongestIdle{200};    // that it spins for between two pieces of work

// The first waits of a thread spin in full. One for all meetings of a thread: it is the machine that is busy or not.
thread_local Patience meeting_patience(kLongestMeeting);

void relax() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
    __asm__ volatile("yield");
#endif
}

// The processors that this process had when it loaded the engine. A thread inherits those of the thread that starts it,
// and other runtimes pin the calling thread to one, which would put all our threads there too.
class HomeProcessors {
  public:
#if defined(__linux__)
    HomeProcessors() : known_(sched_getaffinity(0, sizeof set_, &set_) == 0) {}
    void move_here() const {
        if (known_) sched_setaffinity(0, sizeof set_, &set_);
    }

  private:
    cpu_set_t set_;
    bool known_;
#else
    void move_here() const {}
#endif
};

const HomeProcessors home_processors;

struct Job {
    TeamWork* work = nullptr;
    int threads = 1;
};

struct Worker {
    std::atomic<uint32_t> ticket{0};  // goes up with every job, and once more to stop
    Job job;                          // without work it stops
    int index = 0;
    bool leased = false;  // guarded by the pool's mutex
    WaitingPlace waits_for_work;
    std::atomic<uint32_t> done{0};  // the ticket of the last job done
    WaitingPlace waited_for;
    std::thread thread;

    void give(const Job& next, int thread_index) {
        job = next;
        index = thread_index;
        ticket.fetch_add(1);
        waits_for_work.wake();
    }

    void finish() {
        waited_for.wait(meeting_patience, [&] { return done.load() == ticket.load(); });
    }

    void live() {
        home_processors.move_here();
        Patience patience(kLongestIdle);
        for (uint32_t seen = 0;;) {
            waits_for_work.wait(patience, [&] { return ticket.load() != seen; });
            seen = ticket.load();
            if (job.work == nullptr) return;
            job.work->run(index, job.threads);
            done.store(seen);
            waited_for.wake();
        }
    }
};

struct Pool {
    std::mutex mutex;
    std::vector<std::unique_ptr<Worker>> workers;
    int busy = 0;  // threads at work: callers and leased workers
};

std::atomic<uint32_t> forks{0};

// Never destroyed: a worker may outlive static destructors. A child process gets a new one, because the threads of the
// old one do not exist there and its mutex may be held by one of them.
std::atomic<Pool*> current_pool{nullptr};

Pool& pool() {
    static std::once_flag once;
    std::call_once(once, [] {
        current_pool = new Pool;
#ifdef MOBILENETS_FORKS
        pthread_atfork(nullptr, nullptr, [] {
            current_pool = new Pool;
            forks.fetch_add(1);
        });
#endif
    });
    return *current_pool.load();
}

}  // namespace

void Patience::learn(std::chrono::nanoseconds waited) {
    if (waited > 2 * longest_) {  // waking up is part of the wait
        spin_ = std::max<std::chrono::nanoseconds>(kShortestSpin, spin_ / 2);
    } else {
        spin_ = std::min(longest_, 2 * spin_);
    }
}

template <typename Done>
void WaitingPlace::wait(Patience& patience, Done done) {
    constexpr int kTurns = 64;
    for (int turn = 0; turn < kTurns; ++turn)  // a pause takes longer than most waits
        if (done()) return;
    const auto begin = Clock::now();
    auto waited = Clock::duration::zero();
    while (waited < patience.spin()) {
        for (int turn = 0; turn < kTurns / 4; ++turn) {
            if (done()) return;
            relax();
        }
        waited = Clock::now() - begin;
    }
    {
        std::unique_lock<std::mutex> lock(mutex_);
        asleep_.fetch_add(1);
        changed_.wait(lock, done);
        asleep_.fetch_sub(1);
    }
    patience.learn(Clock::now() - begin);
}

void WaitingPlace::wake_sleepers() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
    }  // whoever counts as asleep is, or has seen the change
    changed_.notify_all();
}

void Barrier::set_size(int size) {
    size_ = size;
    for (Count& count : counts_) count.value.store(0);
    arrived_.value.store(0);
}

void Barrier::meet(int thread) {
    if (size_ == 1) return;
    if (size_ <= kFew) {
        const uint32_t mine = counts_[thread].value.load(std::memory_order_relaxed) + 1;
        counts_[thread].value.store(mine);
        place_.wake();
        for (int other = 0; other < size_; ++other)
            place_.wait(meeting_patience, [&] { return counts_[other].value.load() >= mine; });
        return;
    }
    const uint32_t generation = generation_.value.load();
    if (arrived_.value.fetch_add(1) + 1 == static_cast<uint32_t>(size_)) {
        arrived_.value.store(0);
        generation_.value.store(generation + 1);
        place_.wake();
        return;
    }
    place_.wait(meeting_patience, [&] { return generation_.value.load() != generation; });
}

Team::Team(int wanted, int processors) {
    Pool& shared = pool();
    fork_generation_ = fork_generation();
    const std::lock_guard<std::mutex> lock(shared.mutex);
    ++shared.busy;
    const auto may_have_more = [&] { return size_ < wanted && size_ < kLargest && shared.busy < processors; };
    for (size_t i = 0; may_have_more(); ++i) {
        if (i == shared.workers.size()) {
            try {
                shared.workers.reserve(i + 1);
                auto fresh = std::make_unique<Worker>();
                fresh->thread = std::thread([worker = fresh.get()] { worker->live(); });
                shared.workers.push_back(std::move(fresh));
            } catch (const std::exception&) {  // no more threads or memory to be had: do with what there is
                return;
            }
        }
        Worker* worker = shared.workers[i].get();
        if (worker->leased) continue;
        worker->leased = true;
        ++shared.busy;
        workers_[size_++] = worker;
    }
}

Team::~Team() {
    if (fork_generation_ != fork_generation()) return;  // this is a child, and the lease is the parent's
    Pool& shared = pool();
    const std::lock_guard<std::mutex> lock(shared.mutex);
    for (int i = 1; i < size_; ++i) static_cast<Worker*>(workers_[i])->leased = false;
    shared.busy -= size_;
}

void Team::run(TeamWork& work) {
    Job job;
    job.work = &work;
    job.threads = size_;
    for (int i = 1; i < size_; ++i) static_cast<Worker*>(workers_[i])->give(job, i);
    work.run(0, size_);
    for (int i = 1; i < size_; ++i) static_cast<Worker*>(workers_[i])->finish();
}

void stop_threads() {
    Pool& shared = pool();
    const std::lock_guard<std::mutex> lock(shared.mutex);
    std::vector<std::unique_ptr<Worker>> kept;
    for (std::unique_ptr<Worker>& worker : shared.workers) {
        if (worker->leased) {
            kept.push_back(std::move(worker));
            continue;
        }
        worker->give(Job(), 0);
        worker->thread.join();
    }
    shared.workers.swap(kept);
}

uint32_t fork_generation() {
    return forks.load();
}

}  // namespace mobilenets
