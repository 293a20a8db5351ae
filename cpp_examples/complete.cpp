// Labels in, labels out.
//
//   complete BUNDLE tails HEAD RELATION [K]     the best tails of (HEAD, RELATION, ?)
//   complete BUNDLE heads RELATION TAIL [K]     the best heads of (?, RELATION, TAIL)
//
// Prints K lines "score<TAB>label", best first. What the data already know is left out, as in Python.
#include <charconv>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <limits>
#include <string>
#include <vector>

#include "mmkg/model.hpp"

namespace {

// A whole number, of which nothing else is in the text.
int whole_number(const std::string &text) {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) {
        throw mmkg::Error(mmkg::Fault::query, "'" + text + "' is given where a whole number is expected.");
    }
    return number;
}

}  // namespace

int main(int argc, char **argv) {
    const std::vector<std::string> given(argv + 1, argv + argc);
    if (given.size() < 4 || given.size() > 5 || (given[1] != "tails" && given[1] != "heads")) {
        std::cerr << "usage: complete BUNDLE tails HEAD RELATION [K] | complete BUNDLE heads RELATION TAIL [K]\n";
        return EXIT_FAILURE;
    }
    try {
        const int k = given.size() == 5 ? whole_number(given[4]) : 10;
        const mmkg::Model model(given[0]);
        const std::vector<mmkg::Answer> answers = given[1] == "tails" ? model.predict_tails(given[2], given[3], k)
                                                                      : model.predict_heads(given[2], given[3], k);
        std::cout << std::setprecision(std::numeric_limits<float>::max_digits10);
        for (const mmkg::Answer &answer : answers) std::cout << answer.score << '\t' << answer.label << '\n';
    } catch (const mmkg::Error &error) {
        std::cerr << "complete: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
