#include "graph_specs.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "mmkg/error.hpp"
#include "text.hpp"

namespace mmkg::internal {
namespace {

// Of an axis, and of all numbers of a tensor at the sizes that its graph is tried with.
constexpr int64_t LARGEST_SIZE = (int64_t{1} << 31) - 1, MOST_NUMBERS = int64_t{1} << 27;

bool is_range(const Json &sizes) {
    if (!sizes.is_array() || sizes.size() != 3) return false;
    int64_t least = 1;
    for (const Json &size : sizes) {
        if (!is_whole(size, least, LARGEST_SIZE)) return false;
        least = size.get<int64_t>();
    }
    return true;
}

bool is_tensor(const Json &tensor, const Json &axes) {
    static const std::set<Json> dtypes{"float32", "float16", "int64", "bool"};
    if (!tensor.is_object() || !tensor.contains("name") || !tensor["name"].is_string()) return false;
    if (!tensor.contains("dtype") || dtypes.count(tensor["dtype"]) == 0) return false;
    if (!tensor.contains("shape") || !tensor["shape"].is_array()) return false;
    return std::all_of(tensor["shape"].begin(), tensor["shape"].end(), [&](const Json &size) {
        return size.is_string() ? axes.contains(size.get<std::string>()) : is_whole(size, 0, LARGEST_SIZE);
    });
}

// Numbers of a tensor with two of every free axis, where its range allows it; at most a little more than MOST_NUMBERS.
int64_t numbers_of(const Json &tensor, const Json &axes) {
    int64_t numbers = 1;
    for (const Json &size : tensor["shape"]) {
        int64_t count = 0;
        if (size.is_string()) {
            const Json &range = axes[size.get<std::string>()];
            count = std::min(std::max<int64_t>(2, range[0].get<int64_t>()), range[2].get<int64_t>());
        } else {
            count = size.get<int64_t>();
        }
        if (count == 0) return 0;
        numbers = numbers > MOST_NUMBERS ? numbers : numbers * count;  // below 2^27 * 2^31
    }
    return numbers;
}

}  // namespace

void check_graph_spec(const std::string &place, const Json &spec) {
    const auto refuse = [&](const std::string &what) { throw Error(Fault::bundle, place + what); };
    if (!spec.is_object() || !spec.contains("axes") || !spec["axes"].is_object()) {
        refuse(" is " + shown(spec) + "; expected inputs, outputs and axes.");
    }
    const Json &axes = spec["axes"];
    for (const auto &[axis, sizes] : axes.items()) {
        if (!is_range(sizes)) {
            refuse(": axis " + in_quotes(axis) + " is " + shown(sizes) + "; expected [min, typical, max], at most " +
                   grouped(LARGEST_SIZE) + ".");
        }
    }
    for (const char *kind : {"inputs", "outputs"}) {
        const bool fits = spec.contains(kind) && spec[kind].is_array() &&
                          std::all_of(spec[kind].begin(), spec[kind].end(),
                                      [&](const Json &tensor) { return is_tensor(tensor, axes); });
        if (!fits) {
            refuse(std::string(": ") + kind + " are " + (spec.contains(kind) ? shown(spec[kind]) : "missing") +
                   "; expected a list of name, dtype and shape.");
        }
        for (const Json &tensor : spec[kind]) {
            if (numbers_of(tensor, axes) > MOST_NUMBERS) {
                refuse(": " + shown(tensor["name"]) + " has too many numbers for a batch of two; expected at most " +
                       grouped(MOST_NUMBERS) + ".");
            }
        }
    }
    std::set<Json> names;
    for (const Json &tensor : spec["inputs"]) {
        if (!names.insert(tensor["name"]).second) refuse(": two inputs have one name.");
    }
}

std::map<std::string, int64_t> largest_sizes(const Json &spec) {
    std::map<std::string, int64_t> sizes;
    for (const Json &tensor : spec["inputs"]) {
        for (const Json &size : tensor["shape"]) {
            if (size.is_string())
                sizes[size.get<std::string>()] = spec["axes"][size.get<std::string>()][2].get<int64_t>();
        }
    }
    return sizes;
}

}  // namespace mmkg::internal
