// The configurations of the families that this library answers for: numbers and names, checked.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "json.hpp"

namespace mmkg::internal {

enum class Family { mygo, adamf_mat, mimic };

// Settings of one family in three kinds, those that the file leaves out with their defaults.
struct Config {
    Family family{};
    std::map<std::string, int64_t> sizes;      // whole numbers from 1
    std::map<std::string, double> numbers;     // finite, from 0
    std::map<std::string, std::string> names;  // of a few choices, or free
    // Of those that predict: visual, text, then further ones by name. The sizes of each are NAME_codebook_rows and so on.
    std::vector<std::string> modalities{};

    int64_t size(const char *name) const { return sizes.at(name); }
    bool links() const noexcept { return family == Family::mimic; }  // mentions to entities; others predict links
    // Width of an encoded entity and of a query vector of those that predict.
    int64_t table_width() const;
};

// The configuration of a family from bundle.json.
//
// Throws NotStrict: an unknown setting, a missing one without default, or a value out of range.
Config read_config(Family family, const Json &values);

}  // namespace mmkg::internal
