// Threads that sleep between jobs.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace mmkg {

class Pool {
public:
    explicit Pool(int threads) : threads_(threads) {}
    ~Pool();
    Pool(const Pool &) = delete;
    Pool &operator=(const Pool &) = delete;

    // The right to use the pool for one call. Where another thread has it, `threads` is 1 and jobs run in the caller.
    class Lease {
    public:
        // awake: threads that have worked for it do not sleep at once, for a call of several short jobs.
        explicit Lease(Pool &pool, bool awake = false);
        ~Lease();
        Lease(const Lease &) = delete;
        Lease &operator=(const Lease &) = delete;
        int threads() const { return crew_ ? threads_ : 1; }
        // job(0), job(1), ... job(parts - 1) at once; parts <= threads(). The first exception is thrown here.
        void run(int parts, const std::function<void(int)> &job);

    private:
        struct Crew *crew_ = nullptr;
        int threads_ = 1;
        std::unique_lock<std::mutex> lock_;
    };

private:
    struct Crew *crew();

    const int threads_;
    std::atomic<struct Crew *> crew_{nullptr};
};

}  // namespace mmkg
