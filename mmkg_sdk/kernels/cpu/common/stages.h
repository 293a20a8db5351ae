// Threads that work on the same few rows together, stage after stage, where a round of the pool per stage would cost
// more than the stage.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "common/pause.h"

namespace mmkg {

// The parts of a stage are taken by whoever comes first, and the next stage begins when all of them are done. A thread
// that comes late finds them taken and touches nothing, so nobody waits for a thread that is not awake yet.
class Stages {
public:
    explicit Stages(int64_t count) : stages_(static_cast<size_t>(count)) {}

private:
    struct alignas(64) Stage {
        std::atomic<int64_t> taken{0}, done{0};
    };

public:
    // One thread's way through the stages, which is the same for all of them. Without stages it works alone.
    class Way {
    public:
        Way() = default;
        explicit Way(Stages &stages) : stage_(stages.stages_.data()) {}

        // work(0), work(1), ... work(parts - 1), which must not throw; returns when the last has ended.
        template <class Work>
        void share(int64_t parts, const Work &work) {
            if (!stage_) {
                for (int64_t i = 0; i < parts; ++i) work(i);
                return;
            }
            Stage &stage = *stage_++;
            for (int64_t i; (i = stage.taken.fetch_add(1, std::memory_order_relaxed)) < parts;) {
                work(i);
                stage.done.fetch_add(1, std::memory_order_release);
            }
            for (int spins = 0; stage.done.load(std::memory_order_acquire) < parts; ++spins) {
                // A part takes a few microseconds, unless the system has taken the core from its thread.
                if (spins < 2000) {
                    pause();
                } else {
                    std::this_thread::yield();
                }
            }
        }

    private:
        Stage *stage_ = nullptr;
    };

private:
    std::vector<Stage> stages_;
};

}  // namespace mmkg
