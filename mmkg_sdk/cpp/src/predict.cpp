// Answering: ids of queries in, ranked labels out.
#include <algorithm>
#include <iterator>

#include "guarded.hpp"
#include "model_state.hpp"

namespace mmkg {
namespace {

using namespace internal;

// Triples whose queries are encoded at a time: bounds the memory.
constexpr size_t QUERY_CHUNK = 256;

// What is asked of every query.
struct Ranked {
    int64_t k;
    const KnownTriples *known;               // or nullptr: nothing is left out
    const std::vector<int64_t> *candidates;  // or nullptr: all
};

// The known answers that were left out.
std::vector<int64_t> left_out(const Ranked &asked, const Query &query) {
    if (asked.known == nullptr) return {};
    const Numbers known = asked.known->answers(query);
    if (asked.candidates == nullptr) return {known.begin(), known.end()};
    std::vector<int64_t> found;
    std::set_intersection(known.begin(), known.end(), asked.candidates->begin(), asked.candidates->end(),
                          std::back_inserter(found));
    return found;
}

std::vector<Ranking> rank(const EntityTable &table, const Ranked &asked, const std::vector<Query> &queries) {
    const Columns columns(queries);
    const mmkg_known_triples known = asked.known == nullptr ? mmkg_known_triples{} : asked.known->described();
    const std::vector<int64_t> *some = asked.candidates;
    std::vector<int64_t> offsets(queries.size() + 1), ids(queries.size() * static_cast<size_t>(asked.k));
    std::vector<float> scores(ids.size());
    check(mmkg_answer_top_k(table.answer(), columns.entity.data(), columns.relation.data(), columns.direction.data(),
                            columns.size(), asked.k, asked.known == nullptr ? nullptr : &known,
                            some == nullptr ? nullptr : some->data(),
                            some == nullptr ? 0 : static_cast<int64_t>(some->size()), offsets.data(), ids.data(),
                            scores.data()),
          "query_encoder or a score");
    std::vector<Ranking> rankings(queries.size());
    for (size_t i = 0; i < queries.size(); ++i) {
        for (auto j = static_cast<size_t>(offsets[i]); j < static_cast<size_t>(offsets[i + 1]); ++j)
            rankings[i].answers.push_back({ids[j], std::string(table.labels()[ids[j]]), scores[j]});
        rankings[i].known = left_out(asked, queries[i]);
    }
    return rankings;
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
        check_k(asking.k);
        const std::vector<int64_t> *candidates = asking.candidates ? &asking.candidates->ids() : nullptr;
        check_candidates(asking.candidates, table->labels());
        const int64_t most = candidates == nullptr ? table->rows() : static_cast<int64_t>(candidates->size());
        const bool filter = asking.filter_known.value_or(candidates == nullptr);
        const Ranked asked{std::min<int64_t>(asking.k, most), filter ? &state_->known_triples() : nullptr, candidates};
        if (asked.k == 0 || queries.empty()) return std::vector<Ranking>(queries.size());
        return rank(*table, asked, queries);
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
            const auto first = queries.begin() + static_cast<std::ptrdiff_t>(start);
            const size_t size = std::min(QUERY_CHUNK, queries.size() - start);
            const Columns chunk({first, first + static_cast<std::ptrdiff_t>(size)});
            const std::vector<float> vectors = state_->vectors(*table, chunk);
            check(mmkg_pair_scores(table->scan(), vectors.data(), chunk.size(), tails.data() + start,
                                   scores.data() + start),
                  "a score");
        }
        return scores;
    });
}

}  // namespace mmkg
