// labels.hpp: the names of entities or relations; the place of a name is its id.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mmkg/error.hpp"

namespace mmkg {

// Distinct names in UTF-8, in order. A copy costs nothing: copies share one store, which never changes, so that a name
// stays where it is as long as one of them lives. Safe to use from several threads.
class MMKG_MODEL_API Labels {
public:
    // The labels of a file: one a line, ended by a line feed alone; the last one may lack. The rules are those of
    // mmkg_sdk.files.labels: not empty, none twice, at most 10,000 characters, no carriage return, no byte order mark.
    //
    //   content   of the file
    //   path      for messages
    //   kind      what one is called in messages: "entity", "relation"
    //
    // Throws Error (bundle), which names the line.
    Labels(std::string content, const std::string &path, std::string kind);
    Labels();  // none

    int64_t size() const noexcept;
    const std::string &kind() const noexcept;

    // The name of an id, 0 to size() - 1, which is not checked.
    std::string_view operator[](int64_t id) const noexcept;

    // The id of a name, or nothing.
    std::optional<int64_t> find(std::string_view name) const noexcept;

    // The id of a name.
    //
    // Throws Error (query): there is none.
    int64_t id_of(std::string_view name) const;

    // These and some more at the end.
    //
    // Throws Error (query): a name that is taken, or that no label file could hold.
    Labels with(const std::vector<std::string> &names) const;

private:
    struct Store;
    explicit Labels(std::shared_ptr<const Store> store) : store_(std::move(store)) {}

    std::shared_ptr<const Store> store_;
};

}  // namespace mmkg
