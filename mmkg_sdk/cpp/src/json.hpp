// JSON as strict as the SDK reads it, and the one form of it that is sealed.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>  // the rest takes seconds to compile
#include <stdexcept>
#include <string>
#include <string_view>

namespace mmkg::internal {

using Json = nlohmann::json;  // an object's keys are sorted, by bytes and so by code points

struct NotStrict : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The value of a text in UTF-8: standard JSON, no key twice in an object, at most 500 levels.
//
// Throws NotStrict.
Json strict_json(std::string_view text);

// strict_json, whose numbers all fit into 63 bits and a sign.
//
// Throws NotStrict.
Json plain_json(std::string_view text);

// The text that Python's json.dumps(value, sort_keys=True, separators=(",", ":")) writes, to the byte.
std::string canonical_json(const Json &value);

// A value for messages: at most 80 bytes of it.
std::string shown(const Json &value);

// What keeps a member of an object from being there: "is missing", or "is ...".
std::string shown_member(const Json &object, const char *name);

// A whole number that is no boolean; and what it is, if that fits.
bool is_whole(const Json &value) noexcept;
// Between two bounds.
bool is_whole(const Json &value, int64_t least, int64_t most) noexcept;

}  // namespace mmkg::internal
