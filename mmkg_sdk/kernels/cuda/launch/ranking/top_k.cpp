// The k best rows of a table on a GPU. scan.md has the steps; here are their buffers, grids and what the host
// decides.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "cuda/launch/ranking/questions.h"

namespace mmkg::cuda {

namespace {

// Numbers of bins above which maxima of groups are looked at first.
constexpr int64_t kBinsWithoutGroups = 4096;
constexpr std::array<int64_t, 3> kBest = {16, 128, MMKG_MAX_GPU_K};
// Bins beyond k that hold no answer: 8 of padding rows, or 7 that tie in the exact pass; see scan.md.
constexpr int64_t kSpareBins = 8;
// Bins of one query: how many excluded rows may take, room for what bfloat16 cannot tell apart (or k, if that is more),
// and how much further a wider pass goes.
constexpr int64_t kMostBins = 4096, kRoom = 64, kWider = 8;
constexpr int64_t kMaxGridY = 65535;
constexpr int64_t kPiece = 64;  // coordinates that settle_rows reads at a time in bfloat16

enum class Pass { First, Wider, Exact };

// Sizes of a pass.
struct Plan {
    Plan(const mmkg_gpu_scan &scan, Pass pass, int64_t k_, int64_t rows_, int64_t longest)
        : exact(pass == Pass::Exact), k(k_), rows(rows_), tiles(divided(rows, kTileRows)), bins(tiles * kTileBins),
          groups(divided(bins, kGroupBins)), grouped(bins > kBinsWithoutGroups) {
        const int64_t further = pass == Pass::Wider ? kWider : 1;
        wanted = k + kSpareBins;
        const int64_t limit = exact ? bins : kMostBins * further, room = exact ? 0 : further * std::max(kRoom, k);
        most = std::min(bins, std::max(wanted, std::min(wanted + longest, limit)) + room);
        for (best_place = 0; kBest[best_place] < k;) ++best_place;
        best = kBest[best_place];
        const int64_t a_query = 4 * bins + 4 * groups + 2 * 4 * most + 8 + 8 * kBinRows * most + 8 * best +
                                (exact ? 4 * tiles : 2 * scan.padded + 4);
        bytes_a_query = a_query;
    }

    int64_t bytes(const mmkg_gpu_scan &scan, int64_t batch) const {
        const auto part = [&](int64_t a_query) { return Workspace::rounded(a_query * batch); };
        return part(4 * bins) + (grouped ? part(4 * groups) + part(4 * most) : 0) + part(4 * most) + 2 * part(4) +
               part(8 * kBinRows * most) + part(8 * best) + (exact ? part(4 * tiles) : scan.rounded_bytes(batch));
    }

    const bool exact;
    const int64_t k, rows, tiles, bins, groups;
    const bool grouped;
    int64_t wanted, most, best, bytes_a_query;
    size_t best_place;
};

// Addresses on the GPU.
struct Task {
    Address queries, offsets, excluded, candidates;
    bool subset;
    Address ids, scores, counts, certificates;
};

// Bins of a pass; gives their parts with a flag for NaN each, 0 for none.
struct Scanned {
    Address rounded, bins, slack, nans;
    int64_t parts;
};

Scanned scan_rounded(const mmkg_gpu_scan &scan, const Plan &plan, const Task &task, int64_t batch, Workspace &work,
                     Stream stream) {
    const auto rounded = scan.round(task.queries, batch, work, stream);
    const Address bins = work.take(4 * plan.bins * batch);
    const FirstPass::Shape &shape = scan.bins->shape(batch);
    const Parts parts(scan.gpu, *shape.kernel, batch, shape.queries, plan.tiles);
    Arguments arguments;
    arguments.address(rounded.queries).tensor(scan.rounded_table()).address(bins).integer(batch);
    if (shape.wide) arguments.integer(scan.padded / shape.kernel->constant("CHUNK"));
    arguments.integer(plan.tiles).integer(parts.tiles_each);
    shape.kernel->launch({parts.query_tiles, parts.count}, arguments, stream);
    return {rounded.queries, bins, rounded.slack, bins, 0};
}

Scanned scan_exactly(const mmkg_gpu_scan &scan, const Plan &plan, const Task &task, int64_t batch, Workspace &work,
                     Stream stream) {
    const Address bins = work.take(4 * plan.bins * batch);
    const Parts parts(scan.gpu, scan.exact_bins, batch, scan.exact_queries, plan.tiles);
    const Address nans = work.take(4 * parts.count * batch);
    Arguments arguments;
    arguments.address(task.queries)
        .address(scan.table32.address)
        .address(task.candidates)
        .address(bins)
        .address(nans)
        .integer(batch)
        .integer(plan.rows)
        .integer(task.subset);
    scan.add_score(arguments).integer(plan.tiles).integer(parts.tiles_each);
    scan.exact_bins.launch({parts.query_tiles, parts.count}, arguments, stream);
    return {bins, bins, bins, nans, parts.count};
}

struct Selected {
    Address chosen, lengths, bounds;
};

Selected select(const mmkg_gpu_scan &scan, const Plan &plan, const Scanned &scanned, Address offsets, int64_t batch,
                Workspace &work, Stream stream) {
    const Selected found{work.take(4 * plan.most * batch), work.take(4 * batch), work.take(4 * batch)};
    const auto best = [&](const Kernel &kernel, Address values, Address groups, Address chosen, int64_t length) {
        kernel.launch({batch},
                      Arguments()
                          .address(values)
                          .address(groups)
                          .address(offsets)
                          .address(scanned.slack)
                          .address(chosen)
                          .address(found.lengths)
                          .address(found.bounds)
                          .integer(length)
                          .integer(plan.wanted)
                          .integer(plan.most)
                          .integer(plan.exact),
                      stream);
    };
    if (!plan.grouped) {
        best(scan.select_best, scanned.bins, found.chosen, found.chosen, plan.bins);
        return found;
    }
    const Address maxima = work.take(4 * plan.groups * batch), groups = work.take(4 * plan.most * batch);
    scan.group_maxima.launch(
        {batch, divided(plan.groups, scan.group_maxima.constant("BLOCK"))},
        Arguments().address(scanned.bins).address(maxima).integer(plan.bins).integer(plan.groups), stream);
    best(scan.select_best, maxima, groups, groups, plan.groups);
    best(scan.select_grouped, scanned.bins, groups, found.chosen, plan.bins);
    return found;
}

// Puts a pass on the stream. `work` has room for plan.bytes().
void launch(const mmkg_gpu_scan &scan, const Plan &plan, const Task &task, int64_t batch, Workspace &work,
            Stream stream) {
    const Scanned scanned = plan.exact ? scan_exactly(scan, plan, task, batch, work, stream)
                                       : scan_rounded(scan, plan, task, batch, work, stream);
    const Selected selected = select(scan, plan, scanned, task.offsets, batch, work, stream);
    const int64_t length = kBinRows * plan.most;
    const Address keys = work.take(8 * length * batch), best = work.take(8 * plan.best * batch);
    // Blocks enough for every multiprocessor to have several, and no more than there is work for.
    const int64_t wanted = 4 * scan.gpu.facts.multiprocessors * scan.settle_rows.resident_blocks();
    const int64_t programs =
        std::clamp<int64_t>(divided(wanted, batch), 1,
                            std::min(divided(length, scan.settle_rows.constant("ROWS")), kMaxGridY));
    Arguments settled;
    if (!scan.distance) {
        settled.address(scanned.rounded)
            .address(scan.table16.address)
            .address(selected.bounds)
            .integer(plan.exact ? 0 : scan.padded / kPiece);
    }
    settled.address(task.queries)
        .address(scan.table32.address)
        .address(task.candidates)
        .address(selected.chosen)
        .address(selected.lengths)
        .address(task.offsets)
        .address(task.excluded)
        .address(keys)
        .integer(plan.rows)
        .integer(task.subset);
    scan.settle_rows.launch({batch, programs}, scan.add_score(settled).integer(plan.most), stream);
    scan.finish_top_k[plan.best_place]->launch({batch},
                                               Arguments()
                                                   .address(keys)
                                                   .address(best)
                                                   .address(task.offsets)
                                                   .address(selected.lengths)
                                                   .address(selected.bounds)
                                                   .address(scanned.slack)
                                                   .address(scanned.nans)
                                                   .address(task.ids)
                                                   .address(task.scores)
                                                   .address(task.counts)
                                                   .address(task.certificates)
                                                   .integer(plan.wanted)
                                                   .integer(plan.most)
                                                   .integer(plan.k)
                                                   .integer(plan.exact)
                                                   .integer(scanned.parts),
                                               stream);
}

// What the caller gets.
struct Answers {
    int64_t *ids;
    float *scores;
    int64_t *counts;
};

// The answers of one call, pass after pass, each for the queries that the one before left uncertain.
class TopK {
public:
    TopK(const Questions &all_, int64_t k_, const int64_t *candidates_, int64_t num_candidates, Answers out_,
         Stream stream_)
        : all(all_), k(k_), subset(candidates_ != nullptr), rows(subset ? num_candidates : all.scan.rows), out(out_),
          stream(stream_) {
        if (!subset || rows == 0) return;
        candidates = std::make_unique<Memory>(all.scan.gpu, 8 * rows);
        check(all.scan.gpu.api.copy_to_device(candidates->address, candidates_, static_cast<size_t>(8 * rows), stream),
              "copy candidates to the GPU");
    }

    mmkg_gpu_report answer() {
        mmkg_gpu_report report{};
        if (rows == 0) {
            std::fill(out.counts, out.counts + all.batch, 0);
            report.exact = all.batch;
            return report;
        }
        std::vector<int64_t> queries(static_cast<size_t>(all.batch));
        for (int64_t i = 0; i < all.batch; ++i) queries[static_cast<size_t>(i)] = i;
        if (!subset && !all.scan.distance) {
            report.first = run(Pass::First, queries);
            report.wider = run(Pass::Wider, queries);
        }
        report.exact = run(Pass::Exact, queries);
        if (!queries.empty()) throw std::logic_error("a query stayed uncertain after canonical scores of all rows");
        return report;
    }

private:
    // Answers what it can, leaves the others in `queries`, and gives the number of those answered.
    int64_t run(Pass pass, std::vector<int64_t> &queries) {
        std::vector<int64_t> left;
        for (size_t at = 0; at < queries.size();) {
            const int64_t remaining = static_cast<int64_t>(queries.size() - at);
            int64_t longest = 0, count = 0;
            for (; count < remaining; ++count) {  // as many as fit
                longest = std::max(longest, all.list_length(queries[at + static_cast<size_t>(count)]));
                const Plan plan(all.scan, pass, k, rows, longest);
                if (count > 0 && (count + 1) * plan.bytes_a_query > MMKG_GPU_WORKSPACE) break;
            }
            answer_part(pass, {queries.data() + at, count}, left);
            at += static_cast<size_t>(count);
        }
        const auto answered = static_cast<int64_t>(queries.size() - left.size());
        queries = std::move(left);
        return answered;
    }

    void answer_part(Pass pass, Chosen chosen, std::vector<int64_t> &left) {
        const mmkg_gpu_scan &scan = all.scan;
        int64_t longest = 0;
        for (int64_t i = 0; i < chosen.count; ++i) longest = std::max(longest, all.list_length(chosen[i]));
        const Plan plan(scan, pass, k, rows, longest);
        const int64_t batch = chosen.count, answers = batch * k;
        // ids, scores, counts and certificates lie one after the other: one copy brings them.
        const int64_t counts_at = Workspace::rounded(8 * answers),
                      scores_at = counts_at + Workspace::rounded(8 * batch),
                      certificates_at = scores_at + Workspace::rounded(4 * answers),
                      bytes = certificates_at + Workspace::rounded(4 * batch);
        const Pinned host(scan.gpu.pinned, scan.gpu.api, bytes);
        Workspace work(scan.gpu, Uploaded::bytes(all, chosen) + plan.bytes(scan, batch) + bytes, stream);
        const Uploaded given(all, chosen, work, stream);
        Waiting waiting(scan.gpu, stream);
        const Address found = work.take(bytes);
        const auto at = [&](int64_t offset) { return found + static_cast<Address>(offset); };
        const Task task{given.queries,
                        given.offsets,
                        given.ids,
                        subset ? candidates->address : given.offsets,
                        subset,
                        found,
                        at(scores_at),
                        at(counts_at),
                        at(certificates_at)};
        launch(scan, plan, task, batch, work, stream);
        check(scan.gpu.api.copy_to_host(host.at(), found, static_cast<size_t>(bytes), stream), "copy from the GPU");
        waiting.wait("answer queries on the GPU");

        const auto *const certificates = host.at<int32_t>(certificates_at);
        for (int64_t i = 0; i < batch; ++i)
            if (certificates[i] == NotANumberFound) throw NotANumber();
        for (int64_t i = 0; i < batch; ++i) {
            if (certificates[i] != Certain) {
                left.push_back(chosen[i]);
                continue;
            }
            const int64_t query = chosen[i], count = host.at<int64_t>(counts_at)[i];
            require(count >= 0 && count <= k, "the GPU gave a number of answers that cannot be");
            out.counts[query] = count;
            std::memcpy(out.ids + query * k, host.at<int64_t>() + i * k, static_cast<size_t>(8 * count));
            std::memcpy(out.scores + query * k, host.at<float>(scores_at) + i * k, static_cast<size_t>(4 * count));
        }
    }

    const Questions &all;
    const int64_t k;
    const bool subset;
    const int64_t rows;
    const Answers out;
    const Stream stream;
    std::unique_ptr<Memory> candidates;
};

// The pass of mmkg_gpu_top_k_launch.
Pass only_pass(const mmkg_gpu_scan &scan) { return scan.distance ? Pass::Exact : Pass::First; }

void check_k(int64_t k) {
    require(k >= 1 && k <= MMKG_MAX_GPU_K, "k is not from 1 to 1024, which the GPU has kernels for");
}

}  // namespace

}  // namespace mmkg::cuda

using mmkg::require;
using namespace mmkg::cuda;

mmkg_status mmkg_gpu_top_k(const mmkg_gpu_scan *scan, uint64_t queries, int32_t place, int64_t batch, int64_t k,
                           const int64_t *excluded_offsets, const int64_t *excluded_ids, const int64_t *candidates,
                           int64_t num_candidates, int64_t *ids, float *scores, int64_t *counts,
                           mmkg_gpu_report *report, uint64_t stream) {
    return on_gpu(scan == nullptr ? nullptr : &scan->gpu, [&] {
        check_k(k);
        require((ids && scores && counts) || batch == 0, "ids, scores or counts is NULL");
        const Questions all{*scan, queries, place, batch, excluded_offsets, excluded_ids, nullptr};
        all.check();
        int64_t before = -1;
        for (int64_t i = 0; candidates != nullptr && i < num_candidates; before = candidates[i++])
            require(candidates[i] > before && candidates[i] < scan->rows,
                    "candidates are not ascending or out of range");
        require(candidates == nullptr || num_candidates >= 0, "num_candidates is negative");
        const auto took =
            TopK(all, k, candidates, num_candidates, {ids, scores, counts}, stream_of(stream)).answer();
        if (report != nullptr) *report = took;
    });
}

mmkg_status mmkg_gpu_top_k_launch(const mmkg_gpu_scan *scan, uint64_t queries, int64_t batch, int64_t k,
                                  uint64_t excluded_offsets, uint64_t excluded_ids, int64_t longest, uint64_t ids,
                                  uint64_t scores, uint64_t counts, uint64_t certificates, uint64_t stream) {
    return on_gpu(scan == nullptr ? nullptr : &scan->gpu, [&] {
        check_k(k);
        require(scan->rows > 0, "the table has no rows");
        require(longest >= 0, "longest is negative");
        require(batch >= 1 && batch <= mmkg_gpu_top_k_batch(scan, k, longest), "batch is not from 1 to the largest");
        const Plan plan(*scan, only_pass(*scan), k, scan->rows, longest);
        const int64_t row_bytes = scan->row_numbers * 4;
        const bool padded = row_bytes != scan->width * 4;
        const int64_t copied = padded ? Workspace::rounded(row_bytes * batch) : 0;
        Workspace work(scan->gpu, plan.bytes(*scan, batch) + copied, stream_of(stream));
        Task task{queries, excluded_offsets, excluded_ids, excluded_offsets, false, ids, scores, counts, certificates};
        if (padded) {
            task.queries = work.take(copied);
            check(scan->gpu.api.fill(task.queries, 0, static_cast<size_t>(copied), stream_of(stream)),
                  "clear memory of the GPU");
            copy_query_rows(*scan, queries, task.queries, batch, stream_of(stream));
        }
        launch(*scan, plan, task, batch, work, stream_of(stream));
    });
}

int64_t mmkg_gpu_top_k_batch(const mmkg_gpu_scan *scan, int64_t k, int64_t longest) {
    if (scan == nullptr || k < 1 || k > MMKG_MAX_GPU_K || longest < 0) return 1;
    const Plan plan(*scan, only_pass(*scan), k, scan->rows, longest);
    return std::clamp<int64_t>(MMKG_GPU_WORKSPACE / plan.bytes_a_query, 1, INT32_MAX);
}
