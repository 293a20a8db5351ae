// Weights on their way to a GPU: checked and padded with zeros on the host, then copied in one piece.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/device/gpu.h"

namespace mmkg::cuda {

// Memory of a GPU, as long as this lives; freeing it waits for work on any stream.
class DeviceMemory {
public:
    DeviceMemory(mmkg_gpu &gpu, int64_t bytes);  // within a Scope
    ~DeviceMemory();
    DeviceMemory(const DeviceMemory &) = delete;
    DeviceMemory &operator=(const DeviceMemory &) = delete;

    // Copies from the host and waits; within a Scope.
    void write(int64_t offset, const void *from, int64_t bytes);

    Address address = 0;

private:
    mmkg_gpu &gpu;
};

// Where numbers of an axis go: parts (such as heads) one after the other, each padded.
struct Axis {
    static Axis whole(int64_t count, int64_t padded) { return {count, padded, count, padded}; }
    int64_t place(int64_t i) const { return i / part * padded_part + i % part; }

    int64_t count, padded;      // numbers before and after
    int64_t part, padded_part;  // of one part
};

class Weights {
public:
    // A vector or a matrix [rows, columns], whose address `place` holds after upload(). Throws if it is not finite.
    void add(Address &place, const float *values, Axis columns, const char *name);
    void add(Address &place, const float *values, Axis rows, Axis columns, const char *name);
    // A matrix that is turned round: [rows, columns] of the host becomes [columns, rows].
    void add_transposed(Address &place, const float *values, Axis rows, Axis columns, const char *name);
    // A matrix in bfloat16, each number rounded to the nearest.
    void add_bfloat16(Address &place, const float *values, Axis rows, Axis columns, const char *name);
    // Some matrices of the same rows side by side.
    void add_side_by_side(Address &place, const std::vector<const float *> &values, Axis rows, Axis columns,
                          const char *name);

    // Copies all of them to `memory`, which must stay; within a Scope.
    std::unique_ptr<DeviceMemory> upload(mmkg_gpu &gpu);

private:
    // Room for some numbers, filled with zeros.
    template <class Number>
    Number *reserve(Address &place, int64_t count);

    std::vector<unsigned char> bytes_;
    std::vector<std::pair<Address *, int64_t>> places_;
};

}  // namespace mmkg::cuda
