// The ids of some questions on their way to a GPU.
#pragma once

#include <cstdint>

#include "cuda/device/gpu.h"

namespace mmkg::cuda {

// Addresses of int64 [batch] each, of the host or the GPU.
struct Ids {
    Address entities, relations, directions;
};

// What each of them must be below.
struct IdLimits {
    int64_t rows, relations;
};

// Bytes of the GPU that the ids of a batch take.
int64_t bytes_of_ids(int64_t batch);

// Checks ids of the host, and copies them to bytes_of_ids(batch) from `to`; they have been read when this returns.
Ids copied_ids(const mmkg_gpu &gpu, const Ids &host, int64_t batch, const IdLimits &limits, Address to, Stream stream);

// Throws where a place is none of mmkg_place, or a batch is no number of questions, or has no ids or no table.
void require_questions(const Ids &ids, int64_t batch, Address table, int64_t rows);
void require_place(int32_t place);

}  // namespace mmkg::cuda
