#include "text.hpp"

#include <cstddef>
#include <cstdio>

namespace mmkg::internal {

std::optional<int64_t> utf8_length(std::string_view text) noexcept {
    const auto byte = [&](size_t place) { return static_cast<unsigned char>(text[place]); };
    int64_t length = 0;
    for (size_t i = 0; i < text.size(); ++length) {
        const unsigned first = byte(i);
        if (first < 0x80) {
            ++i;
            continue;
        }
        const size_t bytes = first >= 0xC2 && first <= 0xDF   ? 2
                             : first >> 4 == 0xE              ? 3
                             : first >= 0xF0 && first <= 0xF4 ? 4
                                                              : 0;
        if (bytes == 0 || text.size() - i < bytes) return std::nullopt;
        // The second byte is where overlong forms, surrogates and numbers above U+10FFFF show.
        const unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
        const unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
        if (byte(i + 1) < low || byte(i + 1) > high) return std::nullopt;
        for (size_t j = 2; j < bytes; ++j) {
            if (byte(i + j) >> 6 != 2) return std::nullopt;
        }
        i += bytes;
    }
    return length;
}

std::string readable(std::string_view text, size_t most) {
    const bool is_text = utf8_length(text).has_value();
    std::string shown;
    for (size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if (i >= most && byte >> 6 != 2) return shown + "...";
        if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !is_text)) {
            char escaped[8];
            std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
            shown += escaped;
        } else {
            shown += text[i];
        }
    }
    return shown;
}

std::string in_quotes(std::string_view text) { return "'" + readable(text, 80) + "'"; }

std::string grouped(int64_t number) {
    std::string digits = std::to_string(number);
    const size_t first = number < 0 ? 1 : 0;
    for (size_t place = digits.size(); place > first + 3;) {
        place -= 3;
        digits.insert(place, ",");
    }
    return digits;
}

}  // namespace mmkg::internal
