#include "text.hpp"
#include "threads.hpp"

namespace mmkg::internal {

int threads_of(int asked) { return asked == 0 ? default_threads() : asked; }

Pool open_pool(int threads) {
    if (!mmkg_abi_fits()) {
        const int32_t found = mmkg_abi_version();
        throw Error(Fault::backend, "libmmkg has version " + std::to_string(found / 1000) + "." +
                                        std::to_string(found % 1000) + " of the C interface, and libmmkg_model needs " +
                                        std::to_string(MMKG_ABI_MAJOR) + "." + std::to_string(MMKG_ABI_MINOR) +
                                        " or a later " + std::to_string(MMKG_ABI_MAJOR) +
                                        ".x; install both of one version of mmkg.");
    }
    if (threads < 1 || threads > MMKG_MAX_THREADS) {
        throw Error(Fault::query, "threads is " + std::to_string(threads) + "; expected 1 to " +
                                      grouped(MMKG_MAX_THREADS) + ", or 0 for what the processor has.");
    }
    mmkg_pool *handle = nullptr;
    check(mmkg_pool_open(threads, &handle), "the pool");
    return Pool(handle);
}

}  // namespace mmkg::internal
