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
    if (!file) throw std::runtime_error(path + " cannot be read. Expected the folder that `mmkg-sdk export` wrote.");
    return file;
}

// The tensor "vectors" of a safetensors file: eight bytes of length, a JSON header, the numbers.
Table read_table(const std::string &path) {
    std::ifstream file = opened(path);
    uint64_t length = 0;
    file.read(reinterpret_cast<char *>(&length), sizeof length);
    std::string header(file && length <= (1 << 20) ? length : 0, ' ');
    file.read(header.data(), static_cast<std::streamsize>(header.size()));
    if (!file || header.empty()) throw std::runtime_error(path + " is no whole safetensors file. Copy the bundle again.");
    // At most nine digits: products of two such numbers are whole numbers of 64 bits.
    static const std::regex vectors(
        R"re("vectors":\{"dtype":"F32","shape":\[(\d{1,9}),(\d{1,9})\],)re"
        R"re("data_offsets":\[(\d{1,15}),(\d{1,15})\]\})re");
    std::smatch found;
    if (!std::regex_search(header, found, vectors)) {
        throw std::runtime_error(path + " has no float32 tensor \"vectors\" [rows, width]; bundles of Model have one.");
    }
    Table table{std::stoll(found[1]), std::stoll(found[2]), {}};
    const int64_t count = table.rows * table.width, begin = std::stoll(found[3]), bytes = std::stoll(found[4]) - begin;
    const std::streamoff start = file.tellg() + static_cast<std::streamoff>(begin);
    const std::streamoff left = file.seekg(0, std::ios::end).tellg() - start;
    if (bytes != count * static_cast<int64_t>(sizeof(float)) || left < bytes) {
        throw std::runtime_error(path + " says that " + std::to_string(count) + " float32 numbers take " +
                                 std::to_string(bytes) + " bytes, and has " + std::to_string(left) +
                                 ". Copy the bundle again.");
    }
    table.numbers.resize(static_cast<size_t>(count));
    file.seekg(start);
    file.read(reinterpret_cast<char *>(table.numbers.data()), static_cast<std::streamsize>(bytes));
    if (!file) throw std::runtime_error(path + " cannot be read to its end. Copy the bundle again.");
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
    if (static_cast<int64_t>(labels.size()) != table.rows) {
        throw std::runtime_error(bundle + " has " + std::to_string(labels.size()) + " labels in entities.txt and " +
                                 std::to_string(table.rows) + " vectors; expected equally many. Copy it again.");
    }
    int64_t id = 0;
    while (id < table.rows && labels[static_cast<size_t>(id)] != label) ++id;
    if (id == table.rows) throw std::runtime_error("no entity is called " + label + "; entities.txt has the labels.");

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
    char *end = nullptr;
    const long long k = argc == 4 ? std::strtoll(argv[3], &end, 10) : 10;
    if (argc < 3 || argc > 4 || (end && *end) || k < 1 || k > MMKG_MAX_K) {
        std::cerr << "usage: nearest BUNDLE LABEL [K]   K: 1 to " << MMKG_MAX_K << '\n';
        return EXIT_FAILURE;
    }
    try {
        return run(argv[1], argv[2], k);
    } catch (const std::exception &error) {
        std::cerr << "nearest: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
