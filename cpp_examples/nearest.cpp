// The entities nearest to one entity of a bundle, by inner product of their vectors: mmkg::model opens the bundle, the
// C interface of mmkg::kernels ranks.
//
//   nearest BUNDLE LABEL [K]
//
// Prints K lines "score<TAB>label", best first.
#include <cstdint>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <limits>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "mmkg.h"
#include "mmkg/model.hpp"

namespace {

void check(mmkg_status status) {
    if (status != MMKG_OK) throw std::runtime_error(mmkg_last_error());
}

void print_nearest(const std::string &bundle, const std::string &label, int64_t k) {
    const mmkg::Model model(bundle);
    const mmkg::Labels labels = model.entities();
    const int64_t id = labels.id_of(label), rows = labels.size(), width = model.width();
    std::vector<int64_t> ids(static_cast<size_t>(rows));
    std::iota(ids.begin(), ids.end(), 0);
    const std::vector<float> table = model.entity_vectors(ids);

    // Threads sleep between calls; table, pool and scan are made once and serve every query.
    mmkg_pool *pool = nullptr;
    check(mmkg_pool_open(model.threads(), &pool));
    const std::unique_ptr<mmkg_pool, decltype(&mmkg_pool_close)> close_pool(pool, mmkg_pool_close);
    mmkg_scan *scan = nullptr;
    check(mmkg_scan_open(table.data(), rows, width, MMKG_INNER_PRODUCT, 0.0f, MMKG_BEST, MMKG_BEST_STORAGE, pool,
                         &scan));
    const std::unique_ptr<mmkg_scan, decltype(&mmkg_scan_close)> close_scan(scan, mmkg_scan_close);

    // One query, whose answer is not the entity itself.
    const int64_t excluded[] = {0, 1};
    std::vector<int64_t> best(static_cast<size_t>(k));
    std::vector<float> scores(static_cast<size_t>(k));
    int64_t count = 0;
    check(mmkg_top_k(scan, table.data() + id * width, 1, k, excluded, &id, nullptr, 0, best.data(), scores.data(),
                     &count, nullptr));
    std::cout << std::setprecision(std::numeric_limits<float>::max_digits10);
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) std::cout << scores[i] << '\t' << labels[best[i]] << '\n';
}

}  // namespace

int main(int argc, char **argv) {
    char *end = nullptr;
    const long long k = argc == 4 ? std::strtoll(argv[3], &end, 10) : 10;
    if (argc < 3 || argc > 4 || (end && *end) || k < 1 || k > MMKG_MAX_K) {
        std::cerr << "usage: nearest BUNDLE LABEL [K]   K: 1 to " << MMKG_MAX_K << '\n';
        return EXIT_FAILURE;
    }
    try {
        print_nearest(argv[1], argv[2], k);
    } catch (const std::exception &error) {  // mmkg::Error is one, too
        std::cerr << "nearest: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
