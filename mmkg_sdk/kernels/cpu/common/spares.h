// What threads work in, kept between calls, so that the system need not give the pages anew.
#pragma once

#include <array>
#include <atomic>
#include <memory>

namespace mmkg {

// A fork cannot leave a lock behind, for there is none.
template <class Scratch>
class Spares {
public:
    Spares() = default;
    ~Spares() {
        for (auto &spare : spare_) delete spare.load();
    }
    Spares(const Spares &) = delete;
    Spares &operator=(const Spares &) = delete;

    // One that was given back, or null.
    std::unique_ptr<Scratch> take() {
        for (auto &spare : spare_) {
            std::unique_ptr<Scratch> scratch(spare.exchange(nullptr));
            if (scratch) return scratch;
        }
        return nullptr;
    }

    void give_back(std::unique_ptr<Scratch> scratch) {
        for (auto &spare : spare_) {
            Scratch *none = nullptr;
            if (spare.compare_exchange_strong(none, scratch.get())) {
                scratch.release();
                return;
            }
        }
    }

private:
    std::array<std::atomic<Scratch *>, 16> spare_{};
};

}  // namespace mmkg
