#include "cuda/launch/encoder/weights.h"

#include "layers/packed_weights.h"
#include "simd/bfloat.h"

namespace mmkg::cuda {

DeviceMemory::DeviceMemory(mmkg_gpu &gpu_, int64_t bytes) : gpu(gpu_) {
    const std::string what = "get " + std::to_string(bytes) + " bytes of GPU memory for weights";
    check(gpu.api.allocate(&address, static_cast<size_t>(bytes)), what.c_str());
}

DeviceMemory::~DeviceMemory() {
    on_gpu(&gpu, [&] { check(gpu.api.free(address), "free memory of the GPU"); });
}

void DeviceMemory::write(int64_t offset, const void *from, int64_t bytes) {
    const Address to = address + static_cast<Address>(offset);
    check(gpu.api.copy_to_device(to, from, static_cast<size_t>(bytes), nullptr), "copy weights to the GPU");
    check(gpu.api.stream_synchronize(nullptr), "copy weights to the GPU");
}

template <class Number>
Number *Weights::reserve(Address &place, int64_t count) {
    const int64_t offset = static_cast<int64_t>(bytes_.size());
    const int64_t bytes = Workspace::rounded(std::max<int64_t>(count, 1) * static_cast<int64_t>(sizeof(Number)));
    bytes_.resize(static_cast<size_t>(offset + bytes));
    places_.emplace_back(&place, offset);
    return reinterpret_cast<Number *>(bytes_.data() + offset);
}

void Weights::add(Address &place, const float *values, Axis columns, const char *name) {
    add(place, values, Axis::whole(1, 1), columns, name);
}

void Weights::add(Address &place, const float *values, Axis rows, Axis columns, const char *name) {
    add_side_by_side(place, {values}, rows, columns, name);
}

void Weights::add_transposed(Address &place, const float *values, Axis rows, Axis columns, const char *name) {
    require_finite(values, rows.count * columns.count, name);
    float *out = reserve<float>(place, rows.padded * columns.padded);
    for (int64_t row = 0; row < rows.count; ++row) {
        for (int64_t column = 0; column < columns.count; ++column)
            out[columns.place(column) * rows.padded + rows.place(row)] = values[row * columns.count + column];
    }
}

void Weights::add_bfloat16(Address &place, const float *values, Axis rows, Axis columns, const char *name) {
    require_finite(values, rows.count * columns.count, name);
    uint16_t *out = reserve<uint16_t>(place, rows.padded * columns.padded);
    for (int64_t row = 0; row < rows.count; ++row) {
        for (int64_t column = 0; column < columns.count; ++column)
            out[rows.place(row) * columns.padded + columns.place(column)] =
                to_bfloat(values[row * columns.count + column]);
    }
}

void Weights::add_side_by_side(Address &place, const std::vector<const float *> &values, Axis rows, Axis columns,
                               const char *name) {
    const int64_t stride = static_cast<int64_t>(values.size()) * columns.padded;
    for (const float *matrix : values) require_finite(matrix, rows.count * columns.count, name);
    float *out = reserve<float>(place, rows.padded * stride);
    for (const float *matrix : values) {
        for (int64_t row = 0; row < rows.count; ++row) {
            for (int64_t column = 0; column < columns.count; ++column)
                out[rows.place(row) * stride + columns.place(column)] = matrix[row * columns.count + column];
        }
        out += columns.padded;
    }
}

std::unique_ptr<DeviceMemory> Weights::upload(mmkg_gpu &gpu) {
    auto memory = std::make_unique<DeviceMemory>(gpu, static_cast<int64_t>(bytes_.size()));
    memory->write(0, bytes_.data(), static_cast<int64_t>(bytes_.size()));
    for (const auto &[place, offset] : places_) *place = memory->address + static_cast<Address>(offset);
    return memory;
}

}  // namespace mmkg::cuda
