// Answering: ids of queries in, ranked labels out.
#include <algorithm>
#include <iterator>

#include "guarded.hpp"
#include "model_state.hpp"
#include "text.hpp"

namespace mmkg {
namespace internal {

void check_id(int64_t id, const Labels &labels, size_t position, size_t count) {
    if (id >= 0 && id < labels.size()) return;
    throw Error(Fault::query, labels.kind() + " id " + std::to_string(id) + " (number " + std::to_string(position) +
                                  " of " + std::to_string(count) + ") is out of range; ids are 0 to " +
                                  grouped(labels.size() - 1) + ".");
}

}  // namespace internal

namespace {

using namespace internal;

constexpr int MOST_ANSWERS = 3840;
// Queries in one call of the kernels: bounds the memory.
constexpr size_t QUERY_CHUNK = 256;

// Known answers of some queries, flat, as the kernels take them.
struct AnswerLists {
    std::vector<int64_t> offsets{0}, ids;
};

AnswerLists known_answers(const KnownTriples &index, const std::vector<Query> &queries) {
    AnswerLists lists;
    for (const Query &query : queries) {
        const Numbers answers = index.answers(query);
        lists.ids.insert(lists.ids.end(), answers.begin(), answers.end());
        lists.offsets.push_back(static_cast<int64_t>(lists.ids.size()));
    }
    return lists;
}

// What is asked of every chunk of queries.
struct Ranked {
    int64_t k;
    const KnownTriples *known;               // or nullptr: nothing is left out
    const std::vector<int64_t> *candidates;  // or nullptr: all
};

void rank(const EntityTable &table, const Ranked &asked, const std::vector<float> &vectors,
          const std::vector<Query> &queries, std::vector<Ranking> &rankings) {
    AnswerLists known;
    if (asked.known != nullptr) known = known_answers(*asked.known, queries);
    const auto batch = static_cast<int64_t>(queries.size());
    std::vector<int64_t> ids(static_cast<size_t>(batch * asked.k)), counts(queries.size());
    std::vector<float> scores(ids.size());
    // An empty list has no address, and none would mean that there are no lists.
    known.ids.push_back(0);
    const bool all = asked.candidates == nullptr;
    check(mmkg_top_k(table.scan(), vectors.data(), batch, asked.k,
                     asked.known == nullptr ? nullptr : known.offsets.data(),
                     asked.known == nullptr ? nullptr : known.ids.data(), all ? nullptr : asked.candidates->data(),
                     all ? 0 : static_cast<int64_t>(asked.candidates->size()), ids.data(), scores.data(), counts.data(),
                     nullptr),
          "a score");
    for (size_t i = 0; i < queries.size(); ++i) {
        Ranking &ranking = rankings.emplace_back();
        for (size_t j = i * static_cast<size_t>(asked.k), end = j + static_cast<size_t>(counts[i]); j < end; ++j) {
            ranking.answers.push_back({ids[j], std::string(table.labels()[ids[j]]), scores[j]});
        }
        if (asked.known == nullptr) continue;
        const int64_t *first = known.ids.data() + known.offsets[i], *last = known.ids.data() + known.offsets[i + 1];
        if (all) {
            ranking.known.assign(first, last);
        } else {
            std::set_intersection(first, last, asked.candidates->begin(), asked.candidates->end(),
                                  std::back_inserter(ranking.known));
        }
    }
}

std::vector<Query> chunk_of(const std::vector<Query> &queries, size_t start) {
    const auto first = queries.begin() + static_cast<std::ptrdiff_t>(start);
    return {first, first + static_cast<std::ptrdiff_t>(std::min(QUERY_CHUNK, queries.size() - start))};
}

void check_queries(const std::vector<Query> &queries, const Labels &entities, const Labels &relations) {
    for (size_t i = 0; i < queries.size(); ++i) {
        check_id(queries[i].entity, entities, i, queries.size());
        check_id(queries[i].relation, relations, i, queries.size());
        if (queries[i].missing != Missing::tail && queries[i].missing != Missing::head) {
            throw Error(Fault::query, "missing (number " + std::to_string(i) + " of " + std::to_string(queries.size()) +
                                          ") is " + std::to_string(static_cast<int64_t>(queries[i].missing)) +
                                          "; expected tail or head.");
        }
    }
}

}  // namespace

std::vector<Ranking> Model::predict(const std::vector<Query> &queries, const Asking &asking) const {
    return guarded([&] {
        const auto table = state_->entities();
        check_queries(queries, table->labels(), state_->opened().relations);
        if (asking.k < 1 || asking.k > MOST_ANSWERS) {
            throw Error(Fault::query, "k is " + std::to_string(asking.k) + "; expected a whole number from 1 to " +
                                          grouped(MOST_ANSWERS) + ".");
        }
        const std::vector<int64_t> *candidates = asking.candidates ? &asking.candidates->ids() : nullptr;
        if (candidates != nullptr && !candidates->empty())
            check_id(candidates->back(), table->labels(), candidates->size() - 1, candidates->size());
        const int64_t most = candidates == nullptr ? table->rows() : static_cast<int64_t>(candidates->size());
        const bool filter = asking.filter_known.value_or(candidates == nullptr);
        const Ranked asked{std::min<int64_t>(asking.k, most), filter ? &state_->known_triples() : nullptr, candidates};
        std::vector<Ranking> rankings;
        if (asked.k == 0) rankings.resize(queries.size());
        for (size_t start = 0; start < queries.size() && asked.k > 0; start += QUERY_CHUNK) {
            const std::vector<Query> chunk = chunk_of(queries, start);
            rank(*table, asked, state_->vectors(*table, Columns(chunk)), chunk, rankings);
        }
        return rankings;
    });
}

std::vector<float> Model::score_triples(const std::vector<Triple> &triples) const {
    return guarded([&] {
        const auto table = state_->entities();
        std::vector<Query> queries;
        std::vector<int64_t> tails;
        for (size_t i = 0; i < triples.size(); ++i) {
            check_id(triples[i].tail, table->labels(), i, triples.size());
            queries.push_back({triples[i].head, triples[i].relation, Missing::tail});
            tails.push_back(triples[i].tail);
        }
        check_queries(queries, table->labels(), state_->opened().relations);
        std::vector<float> scores(triples.size());
        for (size_t start = 0; start < queries.size(); start += QUERY_CHUNK) {
            const Columns chunk(chunk_of(queries, start));
            const std::vector<float> vectors = state_->vectors(*table, chunk);
            check(mmkg_pair_scores(table->scan(), vectors.data(), chunk.size(), tails.data() + start,
                                   scores.data() + start),
                  "a score");
        }
        return scores;
    });
}

}  // namespace mmkg
