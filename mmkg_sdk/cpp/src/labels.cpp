#include "mmkg/labels.hpp"

#include <limits>

#include "sip_hash.hpp"
#include "text.hpp"

namespace mmkg {
namespace {

using internal::grouped;
using internal::in_quotes;
using internal::utf8_length;

// A longer line is no name; it would stand in every message and answer.
constexpr int64_t MOST_CHARACTERS = 10'000;
constexpr uint32_t FREE = std::numeric_limits<uint32_t>::max();
constexpr int64_t MOST_LABELS = std::numeric_limits<int32_t>::max();
constexpr const char *MARK = "\xEF\xBB\xBF";

// Names in one text, and where to look for one of them: places of names, found by their hash.
struct Part {
    std::string text;               // every name ended by one byte
    std::vector<size_t> starts{0};  // of names; one more than there are names
    std::vector<uint32_t> slots;    // a power of two, at most half of them taken
    internal::SipHash hash;

    int64_t size() const noexcept { return static_cast<int64_t>(starts.size()) - 1; }

    std::string_view name(size_t place) const noexcept {
        return {text.data() + starts[place], starts[place + 1] - starts[place] - 1};
    }

    // The slot of a name, or the free one where it belongs.
    size_t slot(std::string_view wanted) const noexcept {
        size_t i = static_cast<size_t>(hash(wanted)) & (slots.size() - 1);
        while (slots[i] != FREE && name(slots[i]) != wanted) i = (i + 1) & (slots.size() - 1);
        return i;
    }

    void make_room(size_t names) {
        size_t count = 2;
        while (count < 2 * names) count *= 2;
        if (count <= slots.size()) return;
        slots.assign(count, FREE);
        for (size_t place = 0; place + 1 < starts.size(); ++place)
            slots[slot(name(place))] = static_cast<uint32_t>(place);
    }

    void add(std::string_view added) {
        text.append(added).push_back('\n');
        starts.push_back(text.size());
        make_room(starts.size() - 1);
        slots[slot(added)] = static_cast<uint32_t>(starts.size() - 2);
    }
};

}  // namespace

struct Labels::Store {
    std::string kind;
    std::shared_ptr<const Part> first, added;
};

Labels::Labels(std::string content, const std::string &path, std::string kind) {
    if (content.empty()) throw Error(Fault::bundle, path + " is empty; expected one " + kind + " label per line.");
    if (content.back() != '\n') content += '\n';
    auto part = std::make_shared<Part>();
    part->text = std::move(content);
    const std::string_view text = part->text;
    const auto refuse = [&](const std::string &what) {
        throw Error(Fault::bundle, path + ":" + std::to_string(part->starts.size()) + ": " + what);
    };
    for (size_t start = 0; start < text.size();) {
        const size_t end = text.find('\n', start);
        const std::string_view name = text.substr(start, end - start);
        if (name.empty()) refuse("empty line; expected one " + kind + " label per line.");
        const std::optional<int64_t> length = utf8_length(name);
        if (!length) refuse(in_quotes(name) + " is not UTF-8. Convert the file to UTF-8.");
        if (name.find('\r') != std::string_view::npos)
            refuse(in_quotes(name) + " holds a carriage return. Convert the line ends to LF.");
        if (name.substr(0, 3) == MARK) refuse("the line begins with a byte order mark. Save as UTF-8 without it.");
        if (*length > MOST_CHARACTERS) {
            refuse(kind + " label " + std::to_string(part->size()) + " has " + grouped(*length) +
                   " characters; a label has at most " + grouped(MOST_CHARACTERS) + ". Rename it in the data.");
        }
        part->starts.push_back(end + 1);
        if (part->size() > MOST_LABELS) refuse("more than " + grouped(MOST_LABELS) + " labels.");
        start = end + 1;
    }
    size_t slots = 2;
    while (slots < 2 * static_cast<size_t>(part->size())) slots *= 2;
    part->slots.assign(slots, FREE);
    for (size_t place = 0; place < static_cast<size_t>(part->size()); ++place) {
        uint32_t &slot = part->slots[part->slot(part->name(place))];
        if (slot != FREE) {
            throw Error(Fault::bundle, path + ":" + std::to_string(place + 1) + ": " + kind + " label " +
                                           in_quotes(part->name(place)) + " stands in line " +
                                           std::to_string(slot + 1) + " already; rename one.");
        }
        slot = static_cast<uint32_t>(place);
    }
    store_ = std::make_shared<const Store>(Store{std::move(kind), std::move(part), std::make_shared<const Part>()});
}

Labels::Labels()
    : store_(std::make_shared<const Store>(Store{"", std::make_shared<const Part>(), std::make_shared<const Part>()})) {
}

int64_t Labels::size() const noexcept { return store_->first->size() + store_->added->size(); }

const std::string &Labels::kind() const noexcept { return store_->kind; }

std::string_view Labels::operator[](int64_t id) const noexcept {
    const int64_t first = store_->first->size();
    return id < first ? store_->first->name(static_cast<size_t>(id))
                      : store_->added->name(static_cast<size_t>(id - first));
}

std::optional<int64_t> Labels::find(std::string_view name) const noexcept {
    int64_t start = 0;
    for (const Part *part : {store_->first.get(), store_->added.get()}) {
        if (part->size() > 0) {
            const uint32_t place = part->slots[part->slot(name)];
            if (place != FREE) return start + place;
        }
        start += part->size();
    }
    return std::nullopt;
}

int64_t Labels::id_of(std::string_view name) const {
    if (const std::optional<int64_t> id = find(name)) return *id;
    throw Error(Fault::query, "unknown " + kind() + " " + in_quotes(name) + ". There are " + grouped(size()) + ".");
}

Labels Labels::with(const std::vector<std::string> &names) const {
    auto added = std::make_shared<Part>(*store_->added);
    const auto refuse = [&](const std::string &name, const std::string &what) {
        throw Error(Fault::query, kind() + " label " + in_quotes(name) + " " + what);
    };
    for (const std::string &name : names) {
        const std::optional<int64_t> length = utf8_length(name);
        if (!length) refuse(name, "is not UTF-8. Convert it.");
        if (name.empty() || name.find_first_of("\r\n") != std::string::npos)
            refuse(name, "is no line; a label is one non-empty line.");
        if (*length > MOST_CHARACTERS)
            refuse(name,
                   "has " + grouped(*length) + " characters; a label has at most " + grouped(MOST_CHARACTERS) + ".");
        const bool repeated = added->size() > 0 && added->slots[added->slot(name)] != FREE;
        if (repeated || find(name)) refuse(name, "exists already. Choose another label.");
        if (size() + added->size() >= MOST_LABELS) refuse(name, "is one too many.");
        added->add(name);
    }
    return Labels(std::make_shared<const Store>(Store{kind(), store_->first, std::move(added)}));
}

}  // namespace mmkg
