// Pinned memory of the host, kept for the next call: getting it anew takes longer than a query.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "cuda/driver/driver.h"

namespace mmkg::cuda {

class PinnedBlocks {
public:
    struct Block {
        void *start;
        int64_t bytes;
    };

    // A block of at least `bytes`: the smallest that is free, or a new one. Within the GPU's Scope.
    Block take(const Api &api, int64_t bytes);
    void give_back(const Block &block) noexcept;
    void free_all(const Api &api) noexcept;

private:
    std::mutex taking;
    std::vector<Block> blocks;
};

// A block for as long as this lives. Work that reads or writes it must have been waited for by then.
class Pinned {
public:
    Pinned(PinnedBlocks &blocks_, const Api &api, int64_t bytes) : blocks(blocks_), block(blocks_.take(api, bytes)) {}
    ~Pinned() { blocks.give_back(block); }
    Pinned(const Pinned &) = delete;
    Pinned &operator=(const Pinned &) = delete;

    template <class T = char>
    T *at(int64_t offset = 0) const {
        return reinterpret_cast<T *>(static_cast<char *>(block.start) + offset);
    }

private:
    PinnedBlocks &blocks;
    const PinnedBlocks::Block block;
};

}  // namespace mmkg::cuda
