// How many CPU threads run where nobody says.
#pragma once

namespace mmkg::internal {

// As mmkg_sdk.kernels.default_threads: OMP_NUM_THREADS; else the smaller one of the cores that the process may run on
// and the CPUs that the quotas of its control groups grant, rounded down. 1 to MMKG_MAX_THREADS.
int default_threads();

}  // namespace mmkg::internal
