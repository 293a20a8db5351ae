// Texts: UTF-8 as Python decodes it, and how they stand in messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mmkg::internal {

// How many characters a text in UTF-8 has; nothing if it is none (overlong forms, surrogates, more than U+10FFFF).
std::optional<int64_t> utf8_length(std::string_view text) noexcept;

// What does not print, or is no UTF-8, escaped; cut after some bytes, but within no character.
std::string readable(std::string_view text, size_t most);

// In quotes, at most some 80 bytes of it.
std::string in_quotes(std::string_view text);

// 1234567 as "1,234,567".
std::string grouped(int64_t number);

}  // namespace mmkg::internal
