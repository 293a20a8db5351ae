#include "common/pool.h"

#include <exception>
#include <memory>

#include "common/pause.h"

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace mmkg {

namespace {

long process_id() {
#if defined(__unix__) || defined(__APPLE__)
    return static_cast<long>(getpid());
#else
    return 0;
#endif
}

// Pauses of some ten nanoseconds each, after which a thread sleeps.
constexpr int kDoneSpins = 2000, kAwakeSpins = 20000;

}  // namespace

// The threads of one process. A forked child has none of them, and its copy of the locks may be locked for ever: it
// makes a crew of its own and leaves the old one alone.
struct Crew {
    explicit Crew(int helpers) : process(process_id()), errors(helpers + 1) {
        try {
            for (int i = 0; i < helpers; ++i) threads.emplace_back([this, i] { work(i + 1); });
        } catch (...) {
            dismiss();
            throw;
        }
    }
    ~Crew() { dismiss(); }

    void dismiss() {
        {
            const std::lock_guard<std::mutex> guard(mutex);
            leaving = true;
        }
        wake.notify_all();
        for (auto &thread : threads) thread.join();
        threads.clear();
    }

    void work(int part) {
        long seen = 0;
        std::unique_lock<std::mutex> lock(mutex, std::defer_lock);
        for (;;) {
            for (int spins = 0; awake && round == seen && spins < kAwakeSpins; ++spins) pause();
            lock.lock();
            wake.wait(lock, [&] { return leaving || round != seen; });
            if (leaving) return;
            seen = round;
            const auto *todo = part < parts ? job : nullptr;
            lock.unlock();
            if (!todo) continue;
            try {
                (*todo)(part);
            } catch (...) {
                errors[part] = std::current_exception();
            }
            lock.lock();
            if (--pending == 0) done.notify_one();
            lock.unlock();
        }
    }

    void run(int count, const std::function<void(int)> &todo) {
        {
            const std::lock_guard<std::mutex> guard(mutex);
            job = &todo;
            parts = count;
            pending = count - 1;
            ++round;
        }
        wake.notify_all();
        try {
            todo(0);
        } catch (...) {
            errors[0] = std::current_exception();
        }
        // The others usually end at the same time; to be put to sleep and woken takes longer than that.
        for (int spins = 0; pending && spins < kDoneSpins; ++spins) pause();
        {
            std::unique_lock<std::mutex> lock(mutex);
            done.wait(lock, [&] { return pending == 0; });
        }
        std::exception_ptr first;
        for (int i = 0; i < count; ++i) {
            if (!first) first = errors[i];
            errors[i] = nullptr;
        }
        if (first) std::rethrow_exception(first);
    }

    const long process;
    std::mutex one_call;  // held by the Lease
    std::mutex mutex;
    std::condition_variable wake, done;
    const std::function<void(int)> *job = nullptr;
    int parts = 0;
    std::atomic<int> pending{0};
    std::atomic<long> round{0};
    std::atomic<bool> awake{false};  // while a Lease keeps threads from sleeping
    bool leaving = false;
    std::vector<std::exception_ptr> errors;
    std::vector<std::thread> threads;
};

Pool::~Pool() {
    Crew *crew = crew_.load();
    if (crew && crew->process == process_id()) delete crew;
}

Crew *Pool::crew() {
    Crew *present = crew_.load(std::memory_order_acquire);
    while (!present || present->process != process_id()) {
        auto fresh = std::make_unique<Crew>(threads_ - 1);
        if (crew_.compare_exchange_strong(present, fresh.get(), std::memory_order_acq_rel)) return fresh.release();
    }
    return present;
}

Pool::Lease::Lease(Pool &pool, bool awake) {
    if (pool.threads_ == 1) return;
    Crew *crew = pool.crew();
    lock_ = std::unique_lock<std::mutex>(crew->one_call, std::try_to_lock);
    if (!lock_.owns_lock()) return;
    crew_ = crew;
    threads_ = pool.threads_;
    crew_->awake = awake;
}

Pool::Lease::~Lease() {
    if (crew_) crew_->awake = false;
}

void Pool::Lease::run(int parts, const std::function<void(int)> &job) {
    if (parts == 1) {
        job(0);
    } else {
        crew_->run(parts, job);
    }
}

}  // namespace mmkg
