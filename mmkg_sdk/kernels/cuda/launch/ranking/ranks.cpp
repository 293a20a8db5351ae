// Where right answers stand among the rows of a table on a GPU. scan.md has the steps; here are their buffers,
// grids and what the host decides.
#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "cuda/launch/ranking/questions.h"

namespace mmkg::cuda {

namespace {

constexpr int64_t kCounts = 3;
// Blocks that share the marked rows of a query.
constexpr int64_t kSettlers = 16;
// Rows that are listed for one query at most: of more, all rows are counted exactly.
constexpr int64_t kListed = 4096, kListedShare = 32;

// Sizes of a pass; exact ones have counts of `parts`, the others of kSettlers.
struct Plan {
    Plan(const mmkg_gpu_scan &scan, bool exact_, int64_t batch_)
        : exact(exact_), batch(batch_),
          shape(exact ? FirstPass::Shape{&scan.exact_counts, scan.exact_queries, false} : scan.ranks->shape(batch)),
          parts(scan.gpu, *shape.kernel, batch, shape.queries, scan.tiles),
          words(scan.tiles * kTileWords), capacity(std::min(std::max(kListed, scan.rows / kListedShare), scan.rows)) {}

    int64_t bytes(const mmkg_gpu_scan &scan) const {
        const auto part = [&](int64_t a_query) { return Workspace::rounded(a_query * batch); };
        if (exact) {
            return part(4) + part(4 * kCounts * parts.count) + part(4 * parts.count) +
                   Workspace::rounded(8 * (batch + 1));
        }
        return part(4) + scan.rounded_bytes(batch) + part(4 * kTileWords * parts.count) + part(4 * words) +
               part(4 * capacity) + part(4) + part(4 * kCounts * kSettlers);
    }

    const bool exact;
    const int64_t batch;
    const FirstPass::Shape shape;
    const Parts parts;
    const int64_t words, capacity;
};

// Of one query, for how many are taken at a time: more than Plan needs for parts, whose number falls with the batch.
int64_t bytes_a_query(const mmkg_gpu_scan &scan) {
    const Plan one(scan, scan.distance, 1);
    return 4 * one.words + 4 * one.capacity + 2 * scan.padded + 4 * kCounts * kSettlers + 64;
}

// What is counted, in the order of finish_ranks.
struct Counted {
    Address sure, lengths, counts, nans, slack;
    int64_t sure_counts, parts;
};

Counted count_rounded(const mmkg_gpu_scan &scan, const Plan &plan, const Uploaded &given, Address target_scores,
                      Workspace &work, Stream stream) {
    const auto rounded = scan.round(given.queries, plan.batch, work, stream);
    const int64_t sure_counts = kTileWords * plan.parts.count;
    const Address better = work.take(4 * sure_counts * plan.batch), marks = work.take(4 * plan.words * plan.batch);
    Arguments arguments;
    arguments.address(rounded.queries)
        .tensor(scan.rounded_table())
        .address(target_scores)
        .address(rounded.slack)
        .address(better)
        .address(marks)
        .integer(plan.batch);
    if (plan.shape.wide) arguments.integer(scan.padded / plan.shape.kernel->constant("CHUNK"));
    arguments.integer(scan.tiles).integer(plan.parts.tiles_each);
    plan.shape.kernel->launch({plan.parts.query_tiles, plan.parts.count}, arguments, stream);

    const Address listed = work.take(4 * plan.capacity * plan.batch), lengths = work.take(4 * plan.batch);
    scan.list_marked.launch(
        {plan.batch},
        Arguments().address(marks).address(listed).address(lengths).integer(plan.words).integer(plan.capacity), stream);
    const Address counts = work.take(4 * kCounts * kSettlers * plan.batch);
    scan.settle_marked.launch({plan.batch, kSettlers},
                              Arguments()
                                  .address(given.queries)
                                  .address(scan.table32.address)
                                  .address(given.targets)
                                  .address(target_scores)
                                  .address(listed)
                                  .address(lengths)
                                  .address(counts)
                                  .integer(scan.rows)
                                  .integer(scan.chunks)
                                  .integer(plan.capacity),
                              stream);
    return {better, lengths, counts, counts, rounded.slack, sure_counts, kSettlers};
}

Counted count_exactly(const mmkg_gpu_scan &scan, const Plan &plan, const Uploaded &given, Address target_scores,
                      Workspace &work, Stream stream) {
    const Address counts = work.take(4 * kCounts * plan.parts.count * plan.batch);
    const Address nans = work.take(4 * plan.parts.count * plan.batch);
    Arguments arguments;
    arguments.address(given.queries)
        .address(scan.table32.address)
        .address(given.targets)
        .address(target_scores)
        .address(counts)
        .address(nans)
        .integer(plan.batch)
        .integer(scan.rows);
    scan.add_score(arguments).integer(scan.tiles).integer(plan.parts.tiles_each);
    scan.exact_counts.launch({plan.parts.query_tiles, plan.parts.count}, arguments, stream);
    return {counts, counts, counts, nans, counts, 0, plan.parts.count};
}

// Offsets of empty lists: finish_ranks knows the known answers of inner products only.
Address no_lists(const mmkg_gpu_scan &scan, int64_t batch, Workspace &work, Stream stream) {
    const int64_t bytes = Workspace::rounded(8 * (batch + 1));
    const Address offsets = work.take(bytes);
    check(scan.gpu.api.fill(offsets, 0, static_cast<size_t>(bytes), stream), "clear memory of the GPU");
    return offsets;
}

// The ranks of one call: counted from bfloat16, and exactly where that was not certain.
class Ranking {
public:
    Ranking(const Questions &all_, float penalty_, int64_t *const (&out_)[kCounts], Stream stream_)
        : all(all_), penalty(penalty_), out{out_[0], out_[1], out_[2]}, stream(stream_) {}

    mmkg_gpu_report answer() {
        std::vector<int64_t> queries(static_cast<size_t>(all.batch));
        std::iota(queries.begin(), queries.end(), 0);
        mmkg_gpu_report report{};
        if (!all.scan.distance) report.first = run(false, queries);
        report.exact = run(true, queries);
        if (!queries.empty()) throw std::logic_error("a rank stayed uncertain after canonical scores of all rows");
        return report;
    }

private:
    int64_t run(bool exact, std::vector<int64_t> &queries) {
        std::vector<int64_t> left;
        const auto all_of_them = static_cast<int64_t>(queries.size());
        const int64_t at_a_time = std::max<int64_t>(1, MMKG_GPU_WORKSPACE / bytes_a_query(all.scan));
        for (int64_t at = 0; at < all_of_them; at += at_a_time)
            count_part(exact, {queries.data() + at, std::min(at_a_time, all_of_them - at)}, left);
        queries = std::move(left);
        return all_of_them - static_cast<int64_t>(queries.size());
    }

    void count_part(bool exact, Chosen chosen, std::vector<int64_t> &left) {
        const mmkg_gpu_scan &scan = all.scan;
        const Plan plan(scan, exact, chosen.count);
        const int64_t batch = chosen.count, column = Workspace::rounded(8 * batch);
        const int64_t bytes = kCounts * column + Workspace::rounded(4 * batch);
        const Pinned host(scan.gpu.pinned, scan.gpu.api, bytes);
        Workspace work(scan.gpu, Uploaded::bytes(all, chosen) + plan.bytes(scan) + bytes, stream);
        const Uploaded given(all, chosen, work, stream);
        Waiting waiting(scan.gpu, stream);
        const Address found = work.take(bytes), target_scores = work.take(4 * batch);
        const auto at = [&](int64_t offset) { return found + static_cast<Address>(offset); };
        Arguments pairs;
        pairs.address(given.queries).address(scan.table32.address).address(given.targets).address(target_scores);
        scan.pair_scores.launch({divided(batch, scan.pair_scores.constant("PAIRS"))},
                                scan.add_score(pairs.integer(batch)), stream);
        const Counted counted = exact ? count_exactly(scan, plan, given, target_scores, work, stream)
                                      : count_rounded(scan, plan, given, target_scores, work, stream);
        scan.finish_ranks.launch({batch},
                                 Arguments()
                                     .address(given.queries)
                                     .address(scan.table32.address)
                                     .address(given.targets)
                                     .address(target_scores)
                                     .address(counted.slack)
                                     .address(counted.sure)
                                     .address(counted.lengths)
                                     .address(counted.counts)
                                     .address(counted.nans)
                                     .address(scan.distance ? no_lists(scan, batch, work, stream) : given.offsets)
                                     .address(given.ids)
                                     .address(found)
                                     .address(at(column))
                                     .address(at(2 * column))
                                     .address(at(kCounts * column))
                                     .integer(scan.chunks)
                                     .integer(scan.tiles * kTileRows - scan.rows)
                                     .integer(counted.sure_counts)
                                     .integer(counted.parts)
                                     .integer(plan.capacity)
                                     .integer(exact)
                                     .number(penalty),
                                 stream);
        if (scan.distance) {
            Arguments known;
            known.address(given.queries)
                .address(scan.table32.address)
                .address(given.targets)
                .address(target_scores)
                .address(given.offsets)
                .address(given.ids)
                .address(found)
                .address(at(column))
                .address(at(2 * column));
            scan.distance_known.launch({batch}, scan.add_score(known).number(penalty), stream);
        }
        check(scan.gpu.api.copy_to_host(host.at(), found, static_cast<size_t>(bytes), stream), "copy from the GPU");
        waiting.wait("rank answers on the GPU");

        const auto *const certificates = host.at<int32_t>(kCounts * column);
        for (int64_t i = 0; i < batch; ++i)
            if (certificates[i] == NotANumberFound) throw NotANumber();
        for (int64_t i = 0; i < batch; ++i) {
            if (certificates[i] != Certain)
                left.push_back(chosen[i]);
            else
                for (int64_t c = 0; c < kCounts; ++c) out[c][chosen[i]] = host.at<int64_t>(c * column)[i];
        }
    }

    const Questions &all;
    const float penalty;
    int64_t *const out[kCounts];
    const Stream stream;
};

}  // namespace

}  // namespace mmkg::cuda

using mmkg::require;
using namespace mmkg::cuda;

mmkg_status mmkg_gpu_ranks(const mmkg_gpu_scan *scan, uint64_t queries, int32_t place, int64_t batch,
                           const int64_t *targets, const int64_t *known_offsets, const int64_t *known_ids,
                           float known_penalty, int64_t *better, int64_t *equal, int64_t *equal_lower,
                           mmkg_gpu_report *report, uint64_t stream) {
    return on_gpu(scan == nullptr ? nullptr : &scan->gpu, [&] {
        require((targets && better && equal && equal_lower) || batch == 0, "targets or a result is NULL");
        require(known_penalty >= 0.0f, "known_penalty is negative or NaN");
        const Questions all{*scan, queries, place, batch, known_offsets, known_ids, targets};
        all.check();
        int64_t *const out[] = {better, equal, equal_lower};
        const auto took = Ranking(all, known_penalty, out, stream_of(stream)).answer();
        if (report != nullptr) *report = took;
    });
}
