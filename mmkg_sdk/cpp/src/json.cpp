#include "json.hpp"

#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "text.hpp"

namespace mmkg::internal {
namespace {

// Python refuses what is nested deeper than its stack, some 1,000 levels; an export nests 5.
constexpr int MOST_LEVELS = 500;
constexpr int64_t LARGEST = std::numeric_limits<int64_t>::max();

void need_plain_numbers(const Json &value) {
    if (value.is_structured()) {
        for (const Json &part : value) need_plain_numbers(part);
    } else if (value.is_number_float()) {
        // The largest double below 2^63 is less than LARGEST.
        if (!(std::fabs(value.get<double>()) < std::ldexp(1.0, 63))) throw NotStrict("a number is longer than 64 bits");
    } else if (value.is_number_unsigned() ? value.get<uint64_t>() > static_cast<uint64_t>(LARGEST)
                                          : value.is_number_integer() && value.get<int64_t>() < -LARGEST) {
        throw NotStrict("a number is longer than 64 bits");
    }
}

// As Python's repr: the fewest digits that give the number again; with an exponent below 1e-4 and from 1e16 on.
std::string python_float(double number) {
    char digits[400];
    const bool plain = number == 0 || (std::fabs(number) >= 1e-4 && std::fabs(number) < 1e16);
    const auto form = plain ? std::chars_format::fixed : std::chars_format::scientific;
    std::string text(digits, std::to_chars(digits, digits + sizeof digits, number, form).ptr);
    return plain && text.find('.') == std::string::npos ? text + ".0" : text;
}

void write(const Json &value, std::string &text) {
    const char *separator = "";
    if (value.is_object()) {
        text += '{';
        for (const auto &[name, member] : value.items()) {
            text += separator;
            text += Json(name).dump(-1, ' ', true);
            text += ':';
            write(member, text);
            separator = ",";
        }
        text += '}';
    } else if (value.is_array()) {
        text += '[';
        for (const Json &member : value) {
            text += separator;
            write(member, text);
            separator = ",";
        }
        text += ']';
    } else if (value.is_number_float()) {
        text += python_float(value.get<double>());
    } else {
        text += value.dump(-1, ' ', true);
    }
}

}  // namespace

Json strict_json(std::string_view text) {
    // The parser takes a NUL for the end, and passes over a byte order mark.
    if (text.find('\0') != std::string_view::npos) throw NotStrict("it holds a NUL");
    if (text.substr(0, 3) == "\xEF\xBB\xBF") throw NotStrict("it begins with a byte order mark");
    std::vector<std::set<std::string>> keys;
    const auto look = [&](int depth, Json::parse_event_t event, Json &parsed) {
        if (depth > MOST_LEVELS) throw NotStrict("it is nested too deep");
        if (event == Json::parse_event_t::object_start) keys.emplace_back();
        if (event == Json::parse_event_t::object_end) keys.pop_back();
        if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
            throw NotStrict("key " + in_quotes(parsed.get<std::string>()) + " stands there twice");
        }
        return true;
    };
    try {
        return Json::parse(text.begin(), text.end(), look);
    } catch (const Json::exception &error) {
        throw NotStrict(readable(error.what(), 200));  // it shows what it read
    }
}

Json plain_json(std::string_view text) {
    Json value = strict_json(text);
    need_plain_numbers(value);
    return value;
}

std::string canonical_json(const Json &value) {
    std::string text;
    write(value, text);
    return text;
}

std::string shown(const Json &value) {
    constexpr size_t most = 80;
    std::string text = value.is_string() ? in_quotes(value.get_ref<const std::string &>()) : canonical_json(value);
    if (!value.is_string() && text.size() > most) text = text.substr(0, most) + "...";
    return text;
}

std::string shown_member(const Json &object, const char *name) {
    return object.contains(name) ? "is " + shown(object[name]) : "is missing";
}

bool is_whole(const Json &value) noexcept { return value.is_number_integer(); }

bool is_whole(const Json &value, int64_t least, int64_t most) noexcept {
    if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(LARGEST)) return false;
    return value.is_number_integer() && value.get<int64_t>() >= least && value.get<int64_t>() <= most;
}

}  // namespace mmkg::internal
