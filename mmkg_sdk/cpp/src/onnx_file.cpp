#include "onnx_file.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "json.hpp"
#include "protobuf.hpp"
#include "text.hpp"

namespace mmkg::internal {
namespace {

constexpr std::array<const char *, 2> WEIGHT_FILES{"weights.safetensors", "table.safetensors"};

enum class Message { model, training, graph, function, node, attribute, sparse_tensor, tensor };

// All fields of onnx.proto3 through which a tensor is reached.
const std::map<uint64_t, Message> &inside(Message kind) {
    static const std::map<Message, std::map<uint64_t, Message>> fields{
        {Message::model, {{7, Message::graph}, {20, Message::training}, {25, Message::function}}},
        {Message::training, {{1, Message::graph}, {2, Message::graph}}},
        {Message::graph, {{1, Message::node}, {5, Message::tensor}, {15, Message::sparse_tensor}}},
        {Message::function, {{7, Message::node}, {11, Message::attribute}}},
        {Message::node, {{5, Message::attribute}}},
        {Message::attribute,
         {{5, Message::tensor},
          {6, Message::graph},
          {10, Message::tensor},
          {11, Message::graph},
          {22, Message::sparse_tensor},
          {23, Message::sparse_tensor}}},
        {Message::sparse_tensor, {{1, Message::tensor}, {2, Message::tensor}}}};
    return fields.at(kind);
}

constexpr uint64_t EXTERNAL_DATA = 13;  // of a tensor
constexpr size_t MOST_DIGITS = 18;

// Where the numbers of one tensor lie.
struct Place {
    std::string location;
    int64_t offset = 0, length = 0;
};

int64_t number_of(const std::string &text) {
    const bool digits = std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (text.empty() || !digits || text.size() > MOST_DIGITS) throw NotProtobuf("external data at " + in_quotes(text));
    return std::stoll(text);
}

// The external data of a tensor: keys and values. What readers understand differently is an error.
Place place_of(const std::vector<std::string_view> &entries) {
    std::map<std::string, std::string> place;
    for (const std::string_view entry : entries) {
        std::array<std::string, 3> fields;  // key and value; as in protobuf, the last of a repeated field counts
        each_field(entry, [&](const Field &field) {
            if (field.bytes && (field.number == 1 || field.number == 2)) fields[field.number] = *field.bytes;
        });
        if (!place.emplace(fields[1], fields[2]).second) throw NotProtobuf("external data names a thing twice");
    }
    const auto number = [&](const char *key) { return place.count(key) == 0 ? 0 : number_of(place[key]); };
    return {place["location"], number("offset"), number("length")};
}

std::vector<Place> places_of(std::string_view model) {
    std::vector<Place> places;
    // A stack of our own: files nested deeper than a thread's are read as well.
    std::vector<std::pair<Message, std::string_view>> waiting{{Message::model, model}};
    while (!waiting.empty()) {
        const auto [kind, message] = waiting.back();
        waiting.pop_back();
        std::vector<std::string_view> entries;
        each_field(message, [&, kind = kind](const Field &field) {
            if (!field.bytes) return;
            if (kind == Message::tensor) {
                if (field.number == EXTERNAL_DATA) entries.push_back(*field.bytes);
            } else if (const auto found = inside(kind).find(field.number); found != inside(kind).end()) {
                waiting.emplace_back(found->second, *field.bytes);
            }
        });
        if (!entries.empty()) places.push_back(place_of(entries));
    }
    return places;
}

std::string_view message_in(std::string_view message, uint64_t field) {
    const std::optional<Field> found = single(message, field);
    if (!found || !found->bytes) throw NotProtobuf("field " + std::to_string(field) + " is missing");
    return *found->bytes;
}

Json size_of_dimension(std::string_view dimension) {
    const std::optional<Field> axis = single(dimension, 2), size = single(dimension, 1);
    if (axis && axis->bytes) return std::string(*axis->bytes);
    return size && !size->bytes ? Json(size->value) : Json();
}

// A ValueInfoProto: name, dtype and shape, as bundle.json has them.
Json tensor_of(std::string_view value) {
    static const std::map<uint64_t, std::string> dtypes{{1, "float32"}, {7, "int64"}, {9, "bool"}, {10, "float16"}};
    const std::string_view tensor = message_in(message_in(value, 2), 1);
    Json shape = Json::array();
    each_field(message_in(tensor, 2), [&](const Field &field) {
        if (field.bytes && field.number == 1) shape.push_back(size_of_dimension(*field.bytes));
    });
    const std::optional<Field> element = single(tensor, 1);
    const auto dtype = element && !element->bytes ? dtypes.find(element->value) : dtypes.end();
    return {{"name", std::string(message_in(value, 1))},
            {"dtype", dtype == dtypes.end() ? Json() : Json(dtype->second)},
            {"shape", shape}};
}

[[noreturn]] void refuse(const std::string &path, const NotProtobuf &wrong) {
    throw Error(Fault::bundle, path + " is not an ONNX file (" + wrong.what() + "). Export the bundle again.");
}

}  // namespace

std::set<std::string> weight_files(const std::string &path, std::string_view model,
                                   const std::map<std::string, Content> &files) {
    std::vector<Place> places;
    try {
        places = places_of(model);
    } catch (const NotProtobuf &wrong) {
        refuse(path, wrong);
    }
    std::set<std::string> found;
    for (const Place &place : places) {
        if (std::find(WEIGHT_FILES.begin(), WEIGHT_FILES.end(), place.location) == WEIGHT_FILES.end()) {
            throw Error(Fault::bundle, path + " reads its weights from " + in_quotes(place.location) +
                                           "; a graph of a bundle reads from weights.safetensors and "
                                           "table.safetensors only. Do not use this bundle.");
        }
        const auto file = files.find(place.location);
        if (file == files.end() || place.offset + place.length > static_cast<int64_t>(file->second.size)) {
            throw Error(Fault::bundle, path + " reads " + std::to_string(place.length) + " bytes at " +
                                           std::to_string(place.offset) + " of " + place.location +
                                           ", which ends before. Export again.");
        }
        found.insert(place.location);
    }
    return found;
}

void check_signature(const std::string &path, std::string_view model, const std::string &signature) {
    const Json expected = Json::parse(signature);
    try {
        const std::string_view graph = message_in(model, 7);
        for (const auto &[kind, number] : {std::pair<const char *, uint64_t>{"inputs", 11}, {"outputs", 12}}) {
            Json found = Json::array();
            each_field(graph, [&, number = number](const Field &field) {
                if (field.bytes && field.number == number) found.push_back(tensor_of(*field.bytes));
            });
            if (found == expected[kind]) continue;
            throw Error(Fault::bundle, path + " has other " + kind + " than bundle.json says, which are " +
                                           shown(expected[kind]) + ". Export again.");
        }
    } catch (const NotProtobuf &wrong) {
        refuse(path, wrong);
    }
}

}  // namespace mmkg::internal
