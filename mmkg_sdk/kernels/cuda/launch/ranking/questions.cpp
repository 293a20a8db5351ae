#include "cuda/launch/ranking/questions.h"

#include <algorithm>
#include <cstring>

namespace mmkg::cuda {

namespace {

void check_lists(const Questions &all) {
    const char *const wrong = "lists are not ascending, out of range or of another number of queries";
    require(all.offsets[0] == 0, wrong);
    for (int64_t i = 0; i < all.batch; ++i) require(all.offsets[i] <= all.offsets[i + 1], wrong);
    require(all.ids != nullptr || all.offsets[all.batch] == 0, wrong);
    for (int64_t i = 0; i < all.batch; ++i) {
        int64_t before = -1;
        for (int64_t at = all.offsets[i]; at < all.offsets[i + 1]; before = all.ids[at++])
            require(all.ids[at] > before && all.ids[at] < all.scan.rows, wrong);
    }
}

}  // namespace

void copy_query_rows(const mmkg_gpu_scan &scan, Address from, Address to, int64_t count, Stream stream) {
    RowCopy copy{};
    copy.from_type = copy.to_type = kDeviceMemory;
    copy.from_device = from;
    copy.to_device = to;
    copy.from_pitch = copy.width_bytes = static_cast<size_t>(scan.width * 4);
    copy.to_pitch = static_cast<size_t>(scan.row_numbers * 4);
    copy.height = static_cast<size_t>(count);
    mmkg::cuda::check(scan.gpu.api.copy_rows(&copy, stream), "copy queries on the GPU");
}

void Questions::check() const {
    require(batch >= 0 && batch <= INT32_MAX, "batch is negative or above 2^31 - 1");
    require(place == MMKG_ON_HOST || place == MMKG_ON_GPU, "place is none of mmkg_place");
    require(queries != 0 || batch == 0, "queries is NULL");
    require(place == MMKG_ON_HOST || queries % 16 == 0, "queries on the GPU lie at no multiple of 16 bytes");
    if (offsets != nullptr) check_lists(*this);
    for (int64_t i = 0; targets != nullptr && i < batch; ++i)
        require(targets[i] >= 0 && targets[i] < scan.rows, "a target is out of range");
}

Uploaded::Layout::Layout(const Questions &all, Chosen chosen)
    : row_bytes(all.scan.row_numbers * 4), total(0) {
    for (int64_t i = 0; i < chosen.count; ++i) total += all.list_length(chosen[i]);
    // What comes from the host first: one copy brings it.
    offsets = 0;
    ids = offsets + Workspace::rounded(8 * (chosen.count + 1));
    targets = ids + Workspace::rounded(8 * std::max<int64_t>(total, 1));
    queries = targets + Workspace::rounded(8 * chosen.count);
    bytes = queries + Workspace::rounded(row_bytes * chosen.count);
}

int64_t Uploaded::bytes(const Questions &all, Chosen chosen) { return Layout(all, chosen).bytes; }

Uploaded::Uploaded(const Questions &all, Chosen chosen, Workspace &work, Stream stream)
    : Uploaded(all, chosen, Layout(all, chosen), work, stream) {}

Uploaded::Uploaded(const Questions &all, Chosen chosen, const Layout &layout, Workspace &work, Stream stream)
    : staging(all.scan.gpu.pinned, all.scan.gpu.api, layout.bytes) {
    const auto &api = all.scan.gpu.api;
    const Address start = work.take(layout.bytes);
    queries = start + static_cast<Address>(layout.queries);
    offsets = start + static_cast<Address>(layout.offsets);
    ids = start + static_cast<Address>(layout.ids);
    targets = start + static_cast<Address>(layout.targets);

    auto *const host_offsets = staging.at<int64_t>(layout.offsets);
    int64_t *host_ids = staging.at<int64_t>(layout.ids);
    host_offsets[0] = 0;
    for (int64_t i = 0; i < chosen.count; ++i) {
        const int64_t length = all.list_length(chosen[i]);
        if (length > 0) std::memcpy(host_ids, all.ids + all.offsets[chosen[i]], static_cast<size_t>(8 * length));
        host_ids += length;
        host_offsets[i + 1] = host_offsets[i] + length;
        longest = std::max(longest, length);
        if (all.targets != nullptr) staging.at<int64_t>(layout.targets)[i] = all.targets[chosen[i]];
    }
    const bool from_host = all.place == MMKG_ON_HOST;
    const auto width_bytes = static_cast<size_t>(all.scan.width * 4);
    if (from_host) {
        const auto *const source = reinterpret_cast<const char *>(static_cast<uintptr_t>(all.queries));
        for (int64_t i = 0; i < chosen.count; ++i) {
            char *const row = staging.at<char>(layout.queries + i * layout.row_bytes);
            std::memcpy(row, source + chosen[i] * static_cast<int64_t>(width_bytes), width_bytes);
            std::memset(row + width_bytes, 0, static_cast<size_t>(layout.row_bytes) - width_bytes);
        }
    }
    const int64_t upload = from_host ? layout.bytes : layout.queries;
    mmkg::cuda::check(api.copy_to_device(start, staging.at(), static_cast<size_t>(upload), stream), "copy to the GPU");
    if (from_host) return;

    const bool padded = layout.row_bytes != all.scan.width * 4;
    const Address first = all.queries + static_cast<Address>(chosen[0]) * width_bytes;
    if (!padded && chosen.in_a_row()) {
        queries = first;
        return;
    }
    if (padded)
        mmkg::cuda::check(api.fill(queries, 0, static_cast<size_t>(layout.row_bytes * chosen.count), stream),
                          "clear memory of the GPU");
    if (chosen.in_a_row()) {
        copy_query_rows(all.scan, first, queries, chosen.count, stream);
        return;
    }
    for (int64_t i = 0; i < chosen.count; ++i)
        copy_query_rows(all.scan, all.queries + static_cast<Address>(chosen[i]) * width_bytes,
                  queries + static_cast<Address>(i * layout.row_bytes), 1, stream);
}

}  // namespace mmkg::cuda
