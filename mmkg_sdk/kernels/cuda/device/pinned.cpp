#include "cuda/device/pinned.h"

#include <string>

namespace mmkg::cuda {

namespace {

// New blocks are of these bytes or more, in powers of two, so that calls of about one size share them.
constexpr int64_t kSmallest = 1 << 16;
// Blocks that are kept; what is beyond is freed.
constexpr size_t kKept = 16;

}  // namespace

PinnedBlocks::Block PinnedBlocks::take(const Api &api, int64_t bytes) {
    {
        const std::lock_guard<std::mutex> one_at_a_time(taking);
        auto best = blocks.end();
        for (auto it = blocks.begin(); it != blocks.end(); ++it)
            if (it->bytes >= bytes && (best == blocks.end() || it->bytes < best->bytes)) best = it;
        if (best != blocks.end()) {
            const Block found = *best;
            blocks.erase(best);
            return found;
        }
        if (blocks.size() >= kKept) {  // all too small: one of them makes room
            api.free_host(blocks.front().start);
            blocks.erase(blocks.begin());
        }
        blocks.reserve(blocks.size() + kKept);  // so that giving back cannot fail
    }
    Block made{nullptr, kSmallest};
    while (made.bytes < bytes) made.bytes *= 2;
    check(api.allocate_host(&made.start, static_cast<size_t>(made.bytes), 0),
          ("get pinned " + std::to_string(made.bytes) + " bytes of memory").c_str());
    return made;
}

void PinnedBlocks::give_back(const Block &block) noexcept {
    const std::lock_guard<std::mutex> one_at_a_time(taking);
    blocks.push_back(block);
}

void PinnedBlocks::free_all(const Api &api) noexcept {
    for (const Block &block : blocks) api.free_host(block.start);
    blocks.clear();
}

}  // namespace mmkg::cuda
