// What the tests ask the library: one line of stdin is one command, its parts separated by tabs; one line of stdout is
// its answer. Floats are printed as their bits in hexadecimal, so that nothing is lost.
//
//   asked open [MINOR]     a folder -> "accepted FAMILY PRECISION", or FAULT and the message; MINOR of the headers
//   asked canonical        JSON -> what is sealed of it, or "refused"
//   asked digest           hexadecimal bytes -> SHA-256, with and without the processor's instructions
//   asked model FOLDER THREADS [LIBRARY [DEVICE [TENSORRT ENGINES]]]:   LIBRARY: libonnxruntime, TENSORRT: libnvinfer
//     labels K tails|heads LABEL LABEL       -> ANSWERS
//     ids K FILTER CANDIDATES QUERIES        -> ANSWERS, separated by ";"; FILTER yes, no or -; CANDIDATES ids or -;
//                                               QUERIES entity relation missing, ...
//     score TRIPLES                          -> scores
//     vectors IDS                            -> numbers
//     encode VISUAL TEXT STRUCTURE ...       -> numbers; of each entity its tokens, the bits of its structure or -
//     features VISUAL TEXT STRUCTURE ...     -> numbers; the same with features, as bits or -
//     add LABEL VISUAL TEXT STRUCTURE ...    -> their ids
//     add-features LABEL VISUAL TEXT STRUCTURE ...
//   asked linker FOLDER THREADS [LIBRARY [DEVICE [TENSORRT ENGINES]]]:
//     tokens IDS MASK PIXELS                 -> the six pieces, separated by ";"; PIXELS as bits
//     link K CANDIDATES KEYS VALUES TEXT DUAL_KEY DUAL_QUERY FUSED   -> "id:bits:bits of the units:label ...;" a mention;
//                                               CANDIDATES ids or -; pieces as bits
//   or FAULT and the message. ANSWERS are "id:bits:label ...|known ids", all but the labels numbers.
#include <cstdio>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "json.hpp"
#include "mmkg/linker.hpp"
#include "mmkg/model.hpp"
#include "sha256.hpp"

namespace {

std::vector<std::string> split(const std::string &line, char at) {
    std::vector<std::string> parts;
    std::istringstream stream(line);
    for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
    return parts;
}

std::vector<int64_t> numbers(const std::string &text) {
    std::vector<int64_t> found;
    std::istringstream stream(text);
    for (int64_t number = 0; stream >> number;) found.push_back(number);
    return found;
}

std::string bits(float number) {
    uint32_t integer = 0;
    std::memcpy(&integer, &number, sizeof number);
    char text[9];
    std::snprintf(text, sizeof text, "%08x", integer);
    return text;
}

std::string bits(const std::vector<float> &given) {
    std::string text;
    for (const float number : given) text += bits(number) + ' ';
    return text;
}

std::vector<float> floats(const std::string &text) {
    std::vector<float> found;
    if (text == "-") return found;
    for (const std::string &part : split(text, ' ')) {
        const auto integer = static_cast<uint32_t>(std::stoul(part, nullptr, 16));
        std::memcpy(&found.emplace_back(), &integer, sizeof integer);
    }
    return found;
}

std::string answers(const std::vector<mmkg::Answer> &given, const std::vector<int64_t> &known) {
    std::string text;
    for (const mmkg::Answer &answer : given)
        text += std::to_string(answer.id) + ":" + bits(answer.score) + ":" + answer.label + "\t";
    text += "|";
    for (const int64_t id : known) text += std::to_string(id) + " ";
    return text;
}

std::string asked_ids(const mmkg::Model &model, const std::vector<std::string> &parts) {
    mmkg::Asking asking;
    asking.k = std::stoi(parts.at(1));
    if (parts.at(2) != "-") asking.filter_known = parts[2] == "yes";
    if (parts.at(3) != "-") asking.candidates = model.candidates(numbers(parts[3]));
    const std::vector<int64_t> given = numbers(parts.size() > 4 ? parts[4] : "");
    std::vector<mmkg::Query> queries;
    for (size_t i = 0; i + 2 < given.size(); i += 3)
        queries.push_back({given[i], given[i + 1], static_cast<mmkg::Missing>(given[i + 2])});
    std::string text;
    for (const mmkg::Ranking &ranking : model.predict(queries, asking))
        text += answers(ranking.answers, ranking.known) + ";";
    return text;
}

std::string asked(mmkg::Model &model, const std::vector<std::string> &parts) {
    const std::string &command = parts.at(0);
    const auto entity = [&](size_t at) {
        return mmkg::EntityTokens{numbers(parts.at(at)), numbers(parts.at(at + 1)), floats(parts.at(at + 2))};
    };
    const auto featured = [&](size_t at) {
        return mmkg::EntityFeatures{floats(parts.at(at)), floats(parts.at(at + 1)), floats(parts.at(at + 2))};
    };
    // Of all parts behind the command, in groups of so many, what one takes of each.
    const auto all = [&](size_t group, auto one) {
        std::vector<decltype(one(0))> found;
        for (size_t at = 1; at < parts.size(); at += group) found.push_back(one(at));
        return found;
    };
    const auto added = [&](auto one) {
        const std::vector<std::string> labels = all(4, [&](size_t at) { return parts[at]; });
        std::string ids;
        for (const int64_t id : model.add_entities(labels, all(4, [&](size_t at) { return one(at + 1); })))
            ids += std::to_string(id) + " ";
        return ids;
    };
    if (command == "labels") {
        const int k = std::stoi(parts.at(1));
        return answers(parts.at(2) == "tails" ? model.predict_tails(parts.at(3), parts.at(4), k)
                                              : model.predict_heads(parts.at(3), parts.at(4), k),
                       {});
    }
    if (command == "ids") return asked_ids(model, parts);
    if (command == "vectors") return bits(model.entity_vectors(numbers(parts.at(1))));
    if (command == "encode") return bits(model.encode_entities(all(3, entity)));
    if (command == "features") return bits(model.encode_entities(all(3, featured)));
    if (command == "add") return added(entity);
    if (command == "add-features") return added(featured);
    if (command == "score") {
        const std::vector<int64_t> given = numbers(parts.at(1));
        std::vector<mmkg::Triple> triples;
        for (size_t i = 0; i + 2 < given.size(); i += 3) triples.push_back({given[i], given[i + 1], given[i + 2]});
        return bits(model.score_triples(triples));
    }
    return "unknown command " + command;
}

std::string asked(const mmkg::Linker &linker, const std::vector<std::string> &parts) {
    if (parts.at(0) == "tokens") {
        const auto made = linker.encode_tokens({numbers(parts.at(1)), numbers(parts.at(2)), floats(parts.at(3))});
        std::string text;
        for (const auto *piece : {&made.keys, &made.values, &made.text, &made.dual_key, &made.dual_query, &made.fused})
            text += bits(*piece) + ";";
        return text;
    }
    if (parts.at(0) != "link") return "unknown command " + parts[0];
    std::optional<mmkg::Candidates> candidates;
    if (parts.at(2) != "-") candidates = linker.candidates(numbers(parts[2]));
    const mmkg::MentionPieces pieces{floats(parts.at(3)), floats(parts.at(4)), floats(parts.at(5)),
                                     floats(parts.at(6)), floats(parts.at(7)), floats(parts.at(8))};
    std::string text;
    for (const std::vector<mmkg::Link> &links : linker.link(pieces, std::stoi(parts.at(1)), candidates)) {
        for (const mmkg::Link &link : links) {
            text += std::to_string(link.id) + ":" + bits(link.score);
            for (const float unit : {link.text, link.image, link.image_text}) text += ":" + bits(unit);
            text += ":" + link.label + "\t";
        }
        text += ";";
    }
    return text;
}

std::string canonical(const std::string &line) {
    try {
        return mmkg::internal::canonical_json(mmkg::internal::plain_json(line));
    } catch (const mmkg::internal::NotStrict &) {
        return "refused";
    }
}

std::string digest(const std::string &line) {
    std::string data;
    for (size_t i = 0; i + 1 < line.size(); i += 2)
        data += static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16));
    std::string text;
    for (const bool portable : {false, true}) {
        mmkg::internal::Sha256 sha(portable);
        const size_t half = data.size() / 3;  // in parts, as files come
        sha.update(data.data(), half);
        sha.update(data.data() + half, data.size() - half);
        text += mmkg::internal::in_hex(sha.digest()) + " ";
    }
    return text;
}

std::string opened(const std::string &folder, const char *minor) {
    const auto other = [&] { return mmkg::Bundle(folder, false, {MMKG_MODEL_MAJOR, std::stoi(minor)}); };
    const mmkg::Bundle bundle = minor == nullptr ? mmkg::Bundle(folder) : other();
    return "accepted " + bundle.family() + " " + bundle.precision();
}

template <class Work>
std::string or_error(Work work) {
    static const char *names[] = {"bundle", "query", "backend", "memory"};
    try {
        return work();
    } catch (const mmkg::Error &error) {
        return std::string(names[static_cast<int>(error.fault())]) + "\t" + error.what();
    }
}

}  // namespace

int main(int count, char **arguments) {
    const std::string mode = count > 1 ? arguments[1] : "";
    std::unique_ptr<mmkg::Model> model;
    std::unique_ptr<mmkg::Linker> linker;
    if (mode == "model" || mode == "linker") {
        const std::string error = or_error([&] {
            mmkg::Options options{std::stoi(arguments[3]), false, count > 4 ? arguments[4] : ""};
            if (count > 5) options.device = arguments[5];
            if (count > 7) options.tensorrt = arguments[6], options.engines = arguments[7];
            if (mode == "model") model = std::make_unique<mmkg::Model>(arguments[2], options);
            if (mode == "linker") linker = std::make_unique<mmkg::Linker>(arguments[2], options);
            return std::string();
        });
        if (!error.empty()) {
            std::cout << error << std::endl;
            return 0;
        }
    }
    for (std::string line; std::getline(std::cin, line);) {
        const char *minor = count > 2 ? arguments[2] : nullptr;
        const std::string answer = mode == "open"        ? or_error([&] { return opened(line, minor); })
                                   : mode == "canonical" ? canonical(line)
                                   : mode == "digest"    ? digest(line)
                                   : linker ? or_error([&] { return asked(*linker, split(line, '\t')); })
                                                         : or_error([&] { return asked(*model, split(line, '\t')); });
        std::cout << answer << std::endl;
    }
}
