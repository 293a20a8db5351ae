// How long one query takes, from ids to labels, when some threads share one model.
//
//   bench BUNDLE [THREADS] [QUERIES]     QUERIES of each thread, 1,000 unless it is given
//
// Each thread asks one query after the other (closed loop). Prints the latency at p50, p90, p99 and at most, queries per
// second of all threads together, and how many queries took how long.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iomanip>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "mmkg/model.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

// A whole number, of which nothing else is in the text; else 0.
int whole_number(const std::string &text) {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

// Latencies of random queries in microseconds, after some that are not counted.
std::vector<double> ask(const mmkg::Model &model, int seed, int queries) {
    std::mt19937 random(static_cast<unsigned>(seed));
    std::uniform_int_distribution<int64_t> entity(0, model.entities().size() - 1);
    std::uniform_int_distribution<int64_t> relation(0, model.relations().size() - 1);
    std::uniform_int_distribution<int> side(0, 1);
    constexpr int WARM_UP = 20;
    std::vector<double> latencies;
    for (int i = -WARM_UP; i < queries; ++i) {
        const mmkg::Query query{entity(random), relation(random), side(random) ? mmkg::Missing::head : mmkg::Missing::tail};
        const Clock::time_point began = Clock::now();
        model.predict({query});
        const Clock::time_point ended = Clock::now();
        if (i >= 0) latencies.push_back(Microseconds(ended - began).count());
    }
    return latencies;
}

void print(std::vector<double> latencies, double seconds) {
    std::sort(latencies.begin(), latencies.end());
    const auto at = [&](double share) {
        return latencies[static_cast<size_t>(share * static_cast<double>(latencies.size() - 1))];
    };
    std::cout << std::fixed << std::setprecision(1);
    std::cout << "queries  " << latencies.size() << '\n';
    for (const auto &[name, share] : {std::pair("p50", 0.5), {"p90", 0.9}, {"p99", 0.99}, {"max", 1.0}}) {
        std::cout << name << "      " << at(share) << " us\n";
    }
    std::cout << "rate     " << static_cast<double>(latencies.size()) / seconds << " queries/s\n\n";

    std::map<int64_t, size_t> counts;  // by the power of two above
    for (const double latency : latencies) {
        int64_t bound = 1;
        while (static_cast<double>(bound) < latency) bound *= 2;
        ++counts[bound];
    }
    for (const auto &[bound, count] : counts) {
        std::cout << "up to " << std::setw(8) << bound << " us  " << std::setw(8) << count << "  "
                  << std::string((50 * count + latencies.size() - 1) / latencies.size(), '#') << '\n';
    }
}

void run(const std::string &bundle, int threads, int queries) {
    mmkg::Options options;
    if (threads > 1) options.threads = 1;  // the callers are the threads
    const mmkg::Model model(bundle, options);
    std::vector<std::vector<double>> latencies(static_cast<size_t>(threads));
    std::vector<std::thread> callers;
    ask(model, -1, 0);  // what the first query makes is not measured
    const Clock::time_point began = Clock::now();
    for (int i = 0; i < threads; ++i) {
        callers.emplace_back([&, i] { latencies[static_cast<size_t>(i)] = ask(model, i, queries); });
    }
    for (std::thread &caller : callers) caller.join();
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    std::vector<double> all;
    for (const std::vector<double> &some : latencies) all.insert(all.end(), some.begin(), some.end());
    print(std::move(all), seconds);
}

}  // namespace

int main(int argc, char **argv) {
    const int threads = argc > 2 ? whole_number(argv[2]) : 1, queries = argc > 3 ? whole_number(argv[3]) : 1000;
    if (argc < 2 || argc > 4 || threads < 1 || threads > 1024 || queries < 1) {
        std::cerr << "usage: bench BUNDLE [THREADS] [QUERIES]   THREADS: 1 to 1024\n";
        return EXIT_FAILURE;
    }
    try {
        run(argv[1], threads, queries);
    } catch (const std::exception &error) {
        std::cerr << "bench: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
