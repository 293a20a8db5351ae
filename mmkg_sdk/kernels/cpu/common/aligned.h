// Memory that vectors do not straddle cache lines in, on large pages where the system has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace mmkg {

template <class Value>
class Aligned {
public:
    Aligned() = default;
    // Not initialised.
    explicit Aligned(int64_t count) : size_(count) {
        const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(Value);
        // Rows at random places of a large table miss the address cache at almost every step with pages of 4 KiB.
        const std::size_t unit = bytes >= 2 * kLargePage ? kLargePage : kLine;
        if (bytes > SIZE_MAX - unit) throw std::bad_alloc();
        data_ = static_cast<Value *>(std::aligned_alloc(unit, (bytes + unit) / unit * unit));
        if (!data_) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
        if (unit == kLargePage) madvise(data_, bytes, MADV_HUGEPAGE);
#endif
    }
    ~Aligned() { std::free(data_); }
    Aligned(Aligned &&other) noexcept : data_(other.data_), size_(other.size_) {
        other.data_ = nullptr;
        other.size_ = 0;
    }
    Aligned &operator=(Aligned &&other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }

    Value *data() { return data_; }
    const Value *data() const { return data_; }
    int64_t size() const { return size_; }
    Value &operator[](int64_t i) { return data_[i]; }
    const Value &operator[](int64_t i) const { return data_[i]; }

private:
    static constexpr std::size_t kLine = 64, kLargePage = 2u << 20;
    Value *data_ = nullptr;
    int64_t size_ = 0;
};

// Room for `count` values; what was in them is lost where they were fewer.
template <class Value>
void hold(Aligned<Value> &values, int64_t count) {
    if (values.size() < count) values = Aligned<Value>(count);
}

}  // namespace mmkg
