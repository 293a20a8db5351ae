#include "triples.hpp"

#include <algorithm>
#include <functional>

#include "contents.hpp"
#include "text.hpp"

namespace mmkg::internal {
namespace {

bool is_within(int64_t number, int64_t count) { return number >= 0 && number < count; }

bool is_rising(const int64_t *first, const int64_t *last) {
    return std::adjacent_find(first, last, std::greater_equal<>()) == last;
}

}  // namespace

void check_triples(const std::string &path, const Tensors &splits, const Config &config) {
    const int64_t entities = config.size("num_entities"), relations = config.size("num_relations");
    for (const char *split : SPLITS) {
        const Array<int64_t> ids(splits.at(split));
        for (int64_t i = 0; i < ids.size(); i += 3) {
            const int64_t head = ids[i], relation = ids[i + 1], tail = ids[i + 2];
            if (is_within(head, entities) && is_within(relation, relations) && is_within(tail, entities)) continue;
            throw Error(Fault::bundle, path + ": triple " + std::to_string(i / 3) + " of " + split + " is [" +
                                           std::to_string(head) + ", " + std::to_string(relation) + ", " +
                                           std::to_string(tail) + "]; out of range.");
        }
    }
}

void check_index(const std::string &path, const Tensors &arrays, const Config &config) {
    const auto refuse = [&](const std::string &what) {
        throw Error(Fault::bundle, path + ": " + what + ". Export the bundle again.");
    };
    const Array<int64_t> keys(arrays.at("keys")), offsets(arrays.at("offsets")), answers(arrays.at("answers"));
    if (offsets.size() != keys.size() + 1 || offsets[0] != 0 || offsets[keys.size()] != answers.size() ||
        !is_rising(offsets.begin(), offsets.end())) {
        refuse("the offsets do not cut " + grouped(answers.size()) + " answers into those of " + grouped(keys.size()) +
               " queries");
    }
    if (keys.size() == 0) return;
    const int64_t entities = config.size("num_entities"), relations = config.size("num_relations");
    const bool named =
        std::all_of(keys.begin(), keys.end(), [&](int64_t key) { return (key & 0xFFFFFFFF) < entities; });
    if (keys[0] < 0 || !is_rising(keys.begin(), keys.end()) || keys[keys.size() - 1] >> 33 >= relations || !named) {
        refuse("the keys are not ascending, or one names what there is not");
    }
    bool sound = std::all_of(answers.begin(), answers.end(), [&](int64_t id) { return is_within(id, entities); });
    for (int64_t i = 0; sound && i < keys.size(); ++i) {
        sound = is_rising(answers.begin() + offsets[i], answers.begin() + offsets[i + 1]);
    }
    if (!sound) refuse("the answers of a query are not ascending, or one is no entity");
}

}  // namespace mmkg::internal
