#include "gpu.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "text.hpp"

namespace mmkg::internal {
namespace {

// N of "cuda:N".
int32_t number_of(const std::string &device) {
    const std::string prefix = "cuda:";
    if (device == "cuda") return 0;
    const std::string digits = device.compare(0, prefix.size(), prefix) == 0 ? device.substr(prefix.size()) : "";
    const bool fits = !digits.empty() && digits.size() <= 4 &&
                      std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (fits) return std::stoi(digits);
    throw Error(Fault::query, "device is " + in_quotes(device) + "; expected cpu, cuda or cuda:N.");
}

// The kernels for GPUs that lie beside libmmkg.
std::string image_beside_kernels() {
    Dl_info found{};
    if (::dladdr(reinterpret_cast<void *>(&mmkg_gpu_open), &found) == 0 || found.dli_fname == nullptr) return "";
    return (std::filesystem::path(found.dli_fname).parent_path() / "mmkg_cuda.bin").string();
}

std::string read_image(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw Error(Fault::backend, in_quotes(path) +
                                        " cannot be read: it holds the kernels for GPUs. Install it, or say where it "
                                        "lies: Options::cuda_image.");
    }
    return {std::istreambuf_iterator<char>(file), {}};
}

// How many answers a query has at least: as many as there are candidates that are not left out.
int64_t least(int64_t k, size_t query, int64_t rows, const RowLists *excluded, const std::vector<int64_t> *candidates) {
    int64_t left = candidates == nullptr ? rows : static_cast<int64_t>(candidates->size());
    if (excluded == nullptr) return std::min(k, left);
    for (auto at = static_cast<size_t>(excluded->offsets[query]);
         at < static_cast<size_t>(excluded->offsets[query + 1]); ++at) {
        const bool asked = candidates == nullptr ||
                           std::binary_search(candidates->begin(), candidates->end(), excluded->ids[at]);
        left -= asked ? 1 : 0;
    }
    return std::min(k, left);
}

// Rows that are no answer any more: those that are excluded, and those that were found.
RowLists merged(const RowLists *excluded, const RowLists &found) {
    RowLists lists;
    for (size_t query = 0; query + 1 < found.offsets.size(); ++query) {
        const auto start = static_cast<std::ptrdiff_t>(lists.ids.size());
        for (const RowLists *of : {excluded, &found}) {
            if (of == nullptr) continue;
            const auto ids = of->ids.begin();
            lists.ids.insert(lists.ids.end(), ids + of->offsets[query], ids + of->offsets[query + 1]);
        }
        std::sort(lists.ids.begin() + start, lists.ids.end());
        lists.offsets.push_back(static_cast<int64_t>(lists.ids.size()));
    }
    return lists;
}

// The answers of each query, those of the second part behind those of the first.
TopK appended(const TopK &best, const TopK &next) {
    TopK all;
    for (size_t query = 0; query + 1 < best.rows.offsets.size(); ++query) {
        for (const TopK *part : {&best, &next}) {
            const int64_t first = part->rows.offsets[query], end = part->rows.offsets[query + 1];
            all.rows.ids.insert(all.rows.ids.end(), part->rows.ids.begin() + first, part->rows.ids.begin() + end);
            all.scores.insert(all.scores.end(), part->scores.begin() + first, part->scores.begin() + end);
        }
        all.rows.offsets.push_back(static_cast<int64_t>(all.rows.ids.size()));
    }
    return all;
}

}  // namespace

Gpu::Gpu(const Options &options) {
    const int32_t number = number_of(options.device);
    image_ = read_image(options.cuda_image.empty() ? image_beside_kernels() : options.cuda_image);
    mmkg_gpu *handle = nullptr;
    const mmkg_status status = mmkg_gpu_open(number, image_.data(), static_cast<int64_t>(image_.size()), &handle);
    if (status != MMKG_OK) {
        throw Error(status == MMKG_NO_MEMORY ? Fault::memory : Fault::backend,
                    "device " + options.device + " cannot be opened: " + mmkg_last_error() + ".");
    }
    handle_.reset(handle);
}

std::unique_ptr<const Gpu> open_gpu(const Options &options) {
    return options.device == "cpu" ? nullptr : std::make_unique<const Gpu>(options);
}

// A stream, and room for query vectors on the GPU; one call has them at a time.
struct GpuTable::Lane {
    Lane(mmkg_gpu *on, int64_t width) : gpu(on) {
        check(mmkg_gpu_stream_open(gpu, &stream), "a stream");
        const mmkg_status status = mmkg_gpu_allocate(gpu, QUERY_CHUNK * width * int64_t{sizeof(float)}, &vectors);
        if (status != MMKG_OK) mmkg_gpu_stream_close(gpu, stream);
        check(status, "memory of the GPU");
    }
    ~Lane() {
        mmkg_gpu_stream_synchronize(gpu, stream);
        mmkg_gpu_free(gpu, vectors);
        mmkg_gpu_stream_close(gpu, stream);
    }
    Lane(const Lane &) = delete;
    Lane &operator=(const Lane &) = delete;

    mmkg_gpu *gpu;
    uint64_t stream = 0, vectors = 0;
};

GpuTable::GpuTable(const Gpu &gpu, std::shared_ptr<const GpuQueries> queries, const float *vectors, int64_t rows,
                   const Scoring &scoring)
    : gpu_(gpu), rows_(rows), width_(scoring.width), queries_(std::move(queries)) {
    mmkg_gpu_scan *scan = nullptr;
    check(mmkg_gpu_scan_open(gpu.handle(), vectors, rows, width_, scoring.score, scoring.margin, &scan), "the table");
    scan_.reset(scan);
}

GpuTable::~GpuTable() = default;

std::unique_ptr<GpuTable::Lane> GpuTable::taken() const {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!idle_.empty()) {
            std::unique_ptr<Lane> lane = std::move(idle_.back());
            idle_.pop_back();
            return lane;
        }
    }
    return std::make_unique<Lane>(gpu_.handle(), width_);
}

void GpuTable::given_back(std::unique_ptr<Lane> lane) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(lane));
}

void GpuTable::make_vectors(const Columns &asked, const Lane &lane) const {
    GpuRows table{0, rows_, 0};
    check(mmkg_gpu_scan_rows(scan_.get(), &table.address, &table.stride), "the table");
    queries_->of(table, asked, lane.vectors, lane.stream);
}

std::vector<float> GpuTable::query_vectors(const Columns &asked) const {
    std::unique_ptr<Lane> lane = taken();
    make_vectors(asked, *lane);
    std::vector<float> vectors(static_cast<size_t>(asked.size() * width_));
    check(mmkg_gpu_copy_to_host(gpu_.handle(), vectors.data(), lane->vectors,
                                static_cast<int64_t>(vectors.size() * sizeof(float)), lane->stream),
          "query_encoder");
    check(mmkg_gpu_stream_synchronize(gpu_.handle(), lane->stream), "query_encoder");
    given_back(std::move(lane));
    return vectors;
}

TopK GpuTable::best(const Columns &asked, int64_t k, const RowLists *excluded,
                    const std::vector<int64_t> *candidates) const {
    std::unique_ptr<Lane> lane = taken();
    make_vectors(asked, *lane);
    TopK best = best_at_once(asked.entity.size(), std::min<int64_t>(k, MMKG_MAX_GPU_K), excluded, candidates, *lane);
    // More than the kernels give at a time: the best of those that are left, and so on.
    for (int64_t start = MMKG_MAX_GPU_K; start < k; start += MMKG_MAX_GPU_K) {
        const RowLists gone = merged(excluded, best.rows);
        const int64_t some = std::min<int64_t>(k - start, MMKG_MAX_GPU_K);
        best = appended(best, best_at_once(asked.entity.size(), some, &gone, candidates, *lane));
    }
    given_back(std::move(lane));
    return best;
}

TopK GpuTable::best_at_once(size_t batch, int64_t k, const RowLists *excluded, const std::vector<int64_t> *candidates,
                            const Lane &lane) const {
    const size_t room = batch * static_cast<size_t>(k);
    std::vector<int64_t> ids(room), counts(batch);
    std::vector<float> scores(room);
    check(mmkg_gpu_top_k(scan_.get(), lane.vectors, MMKG_ON_GPU, static_cast<int64_t>(batch), k,
                         excluded == nullptr ? nullptr : excluded->offsets.data(),
                         excluded == nullptr ? nullptr : excluded->ids.data(),
                         candidates == nullptr ? nullptr : candidates->data(),
                         candidates == nullptr ? rows_ : static_cast<int64_t>(candidates->size()), ids.data(),
                         scores.data(), counts.data(), nullptr, lane.stream),
          "query_encoder or a score");
    TopK best;
    for (size_t query = 0; query < batch; ++query) {
        const auto first = static_cast<std::ptrdiff_t>(query * static_cast<size_t>(k)), end = first + counts[query];
        best.rows.ids.insert(best.rows.ids.end(), ids.begin() + first, ids.begin() + end);
        best.scores.insert(best.scores.end(), scores.begin() + first, scores.begin() + end);
        best.rows.offsets.push_back(static_cast<int64_t>(best.rows.ids.size()));
        // The scores tell of the vector: with infinity in it no score is finite, and those of -infinity are left out.
        const bool finite = std::all_of(scores.begin() + first, scores.begin() + end,
                                        [](float score) { return std::isfinite(score); });
        if (!finite || counts[query] < least(k, query, rows_, excluded, candidates)) {
            check(MMKG_NAN, "query_encoder or a score");
        }
    }
    return best;
}

}  // namespace mmkg::internal
