// The entities nearest to one entity of a bundle, by inner product of their vectors: C++17 and the compiled kernels,
// no Python.
//
//   nearest BUNDLE LABEL [K]
//
// Prints K lines "score<TAB>label", best first.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

#include "mmkg.h"

namespace {

struct Table {
    int64_t rows = 0, width = 0;
    std::vector<float> numbers;  // [rows, width]
};

std::ifstream opened(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error(path + " cannot be read");
    return file;
}

// The tensor "vectors" of a safetensors file: eight bytes of length, a JSON header, the numbers.
Table read_table(const std::string &path) {
    std::ifstream file = opened(path);
    uint64_t length = 0;
    file.read(reinterpret_cast<char *>(&length), sizeof length);
    if (!file || length > (1 << 20)) throw std::runtime_error(path + " is no safetensors file");
    std::string header(length, ' ');
    file.read(header.data(), static_cast<std::streamsize>(length));
    static const std::regex vectors(
        R"re("vectors":\{"dtype":"F32","shape":\[(\d+),(\d+)\],"data_offsets":\[(\d+),(\d+)\]\})re");
    std::smatch found;
    if (!std::regex_search(header, found, vectors)) {
        throw std::runtime_error(path + " has no float32 vectors [rows, width]");
    }
    Table table{std::stoll(found[1]), std::stoll(found[2]), {}};
    table.numbers.resize(static_cast<size_t>(table.rows * table.width));
    file.seekg(std::stoll(found[3]), std::ios::cur);
    file.read(reinterpret_cast<char *>(table.numbers.data()),
              static_cast<std::streamsize>(table.numbers.size() * sizeof(float)));
    if (!file) throw std::runtime_error(path + " ends too early");
    return table;
}

std::vector<std::string> read_lines(const std::string &path) {
    std::ifstream file = opened(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
}

void check(mmkg_status status) {
    if (status != MMKG_OK) throw std::runtime_error(mmkg_last_error());
}

int run(const std::string &bundle, const std::string &label, int64_t k) {
    const Table table = read_table(bundle + "/table.safetensors");
    const std::vector<std::string> labels = read_lines(bundle + "/entities.txt");
    if (static_cast<int64_t>(labels.size()) != table.rows) throw std::runtime_error("labels and vectors do not fit");
    int64_t id = 0;
    while (id < table.rows && labels[static_cast<size_t>(id)] != label) ++id;
    if (id == table.rows) throw std::runtime_error("no entity is called " + label);

    // Threads sleep between calls; table, pool and scan are made once and serve every question.
    mmkg_pool *pool = nullptr;
    check(mmkg_pool_open(2, &pool));
    const std::unique_ptr<mmkg_pool, decltype(&mmkg_pool_close)> close_pool(pool, mmkg_pool_close);
    mmkg_scan *scan = nullptr;
    check(mmkg_scan_open(table.numbers.data(), table.rows, table.width, MMKG_INNER_PRODUCT, 0.0f, MMKG_BEST,
                         MMKG_BEST_STORAGE, pool, &scan));
    const std::unique_ptr<mmkg_scan, decltype(&mmkg_scan_close)> close_scan(scan, mmkg_scan_close);

    // One question, whose answer is not the entity itself.
    const int64_t excluded[] = {0, 1};
    std::vector<int64_t> ids(static_cast<size_t>(k));
    std::vector<float> scores(static_cast<size_t>(k));
    int64_t count = 0;
    check(mmkg_top_k(scan, table.numbers.data() + id * table.width, 1, k, excluded, &id, nullptr, 0, ids.data(),
                     scores.data(), &count, nullptr));
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
        std::cout << scores[i] << '\t' << labels[static_cast<size_t>(ids[i])] << '\n';
    }
    return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char **argv) {
    const long long k = argc == 4 ? std::atoll(argv[3]) : 10;
    if (argc < 3 || argc > 4 || k < 1 || k > MMKG_MAX_K) {
        std::cerr << "usage: nearest BUNDLE LABEL [K]\n";
        return EXIT_FAILURE;
    }
    try {
        return run(argv[1], argv[2], k);
    } catch (const std::exception &error) {
        std::cerr << "nearest: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
