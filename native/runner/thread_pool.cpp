#include "thread_pool.h"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
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

constexpr auto kLinger = std::chrono::microseconds(200);

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
    std::atomic<int> unfinished{0};
};

struct Worker {
    std::atomic<uint32_t> ticket{0};  // goes up with every job, and once more to stop
    Job* job = nullptr;               // null stops
    int index = 0;
    bool leased = false;  // guarded by the pool's mutex
    std::mutex mutex;
    std::condition_variable wake;
    bool asleep = false;  // guarded by mutex
    std::thread thread;

    void give(Job* next, int thread_index) {
        job = next;
        index = thread_index;
        bool sleeping;
        {
            const std::lock_guard<std::mutex> lock(mutex);
            ticket.fetch_add(1, std::memory_order_release);
            sleeping = asleep;
        }
        if (sleeping) wake.notify_one();
    }

    void wait_beyond(uint32_t seen) {
        const auto end = std::chrono::steady_clock::now() + kLinger;
        do {
            for (int turn = 0; turn < 64; ++turn) {
                if (ticket.load(std::memory_order_acquire) != seen) return;
                relax();
            }
        } while (std::chrono::steady_clock::now() < end);
        std::unique_lock<std::mutex> lock(mutex);
        asleep = true;
        wake.wait(lock, [&] { return ticket.load(std::memory_order_acquire) != seen; });
        asleep = false;
    }

    void live() {
        home_processors.move_here();
        for (uint32_t seen = 0;;) {
            wait_beyond(seen);
            seen = ticket.load(std::memory_order_acquire);
            Job* current = job;
            if (current == nullptr) return;
            current->work->run(index, current->threads);
            current->unfinished.fetch_sub(1, std::memory_order_release);
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

void Spin::wait() {
    // A wait of some ten microseconds means that the other thread has lost its core, perhaps to this one.
    if (++turns_ > 320 && turns_ % 16 == 0) {
        std::this_thread::yield();
    } else if (turns_ > 64) {  // a pause takes longer than most waits
        relax();
    }
}

void Barrier::set_size(int size) {
    size_ = size;
    for (Count& count : counts_) count.value.store(0, std::memory_order_relaxed);
    arrived_.value.store(0, std::memory_order_relaxed);
}

void Barrier::meet(int thread) {
    if (size_ == 1) return;
    if (size_ <= kFew) {
        const uint32_t mine = counts_[thread].value.load(std::memory_order_relaxed) + 1;
        counts_[thread].value.store(mine, std::memory_order_release);
        for (int other = 0; other < size_; ++other)
            for (Spin spin; counts_[other].value.load(std::memory_order_acquire) < mine;) spin.wait();
        return;
    }
    const uint32_t generation = generation_.value.load(std::memory_order_acquire);
    if (arrived_.value.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(size_)) {
        arrived_.value.store(0, std::memory_order_relaxed);
        generation_.value.store(generation + 1, std::memory_order_release);
        return;
    }
    for (Spin spin; generation_.value.load(std::memory_order_acquire) == generation;) spin.wait();
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
    job.unfinished.store(size_ - 1, std::memory_order_relaxed);
    for (int i = 1; i < size_; ++i) static_cast<Worker*>(workers_[i])->give(&job, i);
    work.run(0, size_);
    for (Spin spin; job.unfinished.load(std::memory_order_acquire) != 0;) spin.wait();
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
        worker->give(nullptr, 0);
        worker->thread.join();
    }
    shared.workers.swap(kept);
}

uint32_t fork_generation() {
    return forks.load();
}

}  // namespace mobilenets
