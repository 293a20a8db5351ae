// The CPU threads of a call: how many, and the pool that has them.
#pragma once

#include "kernels.hpp"

namespace mmkg::internal {

// As mmkg_sdk.kernels.default_threads: OMP_NUM_THREADS; else the smaller one of the cores that the process may run on
// and the CPUs that the quotas of its control groups grant, rounded down. 1 to MMKG_MAX_THREADS.
int default_threads();

// What a caller asks for, where 0 stands for the default.
int threads_of(int asked);

// The first call into libmmkg: which may be another one than this file was compiled with.
//
// Throws Error (backend): it is; (query): threads out of range.
Pool open_pool(int threads);

}  // namespace mmkg::internal
