// Canonical scores of pairs on a GPU.
#include <cstring>

#include "cuda/launch/questions.h"

namespace mmkg::cuda {

namespace {

void score_pairs(const Questions &all, float *scores, Stream stream) {
    const mmkg_gpu_scan &scan = all.scan;
    std::vector<int64_t> queries(static_cast<size_t>(all.batch));
    for (int64_t i = 0; i < all.batch; ++i) queries[static_cast<size_t>(i)] = i;
    const Chosen chosen{queries.data(), all.batch};
    const int64_t bytes = Workspace::rounded(4 * all.batch);
    const Pinned host(scan.gpu.pinned, scan.gpu.api, bytes);
    Workspace work(scan.gpu, Uploaded::bytes(all, chosen) + bytes, stream);
    const Uploaded given(all, chosen, work, stream);
    Waiting waiting(scan.gpu, stream);
    const Address found = work.take(bytes);
    Arguments arguments;
    arguments.address(given.queries).address(scan.table32.address).address(given.targets).address(found);
    scan.pair_scores.launch({divided(all.batch, scan.pair_scores.constant("PAIRS"))},
                            scan.add_score(arguments.integer(all.batch)), stream);
    check(scan.gpu.api.copy_to_host(host.at(), found, static_cast<size_t>(4 * all.batch), stream), "copy from the GPU");
    waiting.wait("score pairs on the GPU");
    std::memcpy(scores, host.at(), static_cast<size_t>(4 * all.batch));
}

}  // namespace

}  // namespace mmkg::cuda

using mmkg::require;
using namespace mmkg::cuda;

mmkg_status mmkg_gpu_pair_scores(const mmkg_gpu_scan *scan, uint64_t queries, int32_t place, int64_t batch,
                                 const int64_t *ids, float *scores, uint64_t stream) {
    return on_gpu(scan == nullptr ? nullptr : &scan->gpu, [&] {
        require((ids && scores) || batch == 0, "ids or scores is NULL");
        const Questions all{*scan, queries, place, batch, nullptr, nullptr, ids};
        all.check();
        if (batch > 0) score_pairs(all, scores, stream_of(stream));
    });
}
