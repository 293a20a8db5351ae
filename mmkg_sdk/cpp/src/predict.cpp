// Answering: ids of queries in, ranked labels out.
#include <algorithm>
#include <iterator>

#include "guarded.hpp"
#include "model_state.hpp"

namespace mmkg {
namespace {

using namespace internal;

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

// Ids, vectors and ranking in one call of the kernels.
TopK in_one_call(const EntityTable &table, const Ranked &asked, const std::vector<Query> &queries) {
    const Columns columns(queries);
    const mmkg_known_triples known = asked.known == nullptr ? mmkg_known_triples{} : asked.known->described();
    const std::vector<int64_t> *some = asked.candidates;
    TopK best;
    best.rows.offsets.resize(queries.size() + 1);
    best.rows.ids.resize(queries.size() * static_cast<size_t>(asked.k));
    best.scores.resize(best.rows.ids.size());
    check(mmkg_answer_top_k(table.answer(), columns.entity.data(), columns.relation.data(), columns.direction.data(),
                            columns.size(), asked.k, asked.known == nullptr ? nullptr : &known,
                            some == nullptr ? nullptr : some->data(),
                            some == nullptr ? 0 : static_cast<int64_t>(some->size()), best.rows.offsets.data(),
                            best.rows.ids.data(), best.scores.data()),
          "query_encoder or a score");
    return best;
}

// Known answers, vectors and ranking one after the other, of a few queries.
TopK in_steps(const EntityTable &table, const Ranked &asked, const std::vector<Query> &queries) {
    const Columns columns(queries);
    RowLists excluded;
    for (const Query &query : queries) {
        const Numbers known = asked.known == nullptr ? Numbers{} : asked.known->answers(query);
        excluded.ids.insert(excluded.ids.end(), known.begin(), known.end());
        excluded.offsets.push_back(static_cast<int64_t>(excluded.ids.size()));
    }
    return table.best(columns, asked.k, asked.known == nullptr ? nullptr : &excluded, asked.candidates);
}

// Some queries of many, from one on.
template <class Item>
std::vector<Item> chunk_of(const std::vector<Item> &all, size_t start) {
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(start);
    return {first, first + static_cast<std::ptrdiff_t>(std::min<size_t>(QUERY_CHUNK, all.size() - start))};
}

void add_rankings(const EntityTable &table, const Ranked &asked, const std::vector<Query> &queries, const TopK &best,
                  std::vector<Ranking> &rankings) {
    for (size_t i = 0; i < queries.size(); ++i) {
        Ranking &ranking = rankings.emplace_back();
        const auto end = static_cast<size_t>(best.rows.offsets[i + 1]);
        for (auto j = static_cast<size_t>(best.rows.offsets[i]); j < end; ++j) {
            const int64_t id = best.rows.ids[j];
            ranking.answers.push_back({id, std::string(table.labels()[id]), best.scores[j]});
        }
        ranking.known = left_out(asked, queries[i]);
    }
}

std::vector<Ranking> rank(const EntityTable &table, const Ranked &asked, const std::vector<Query> &queries) {
    std::vector<Ranking> rankings;
    if (table.answer() != nullptr) {
        add_rankings(table, asked, queries, in_one_call(table, asked, queries), rankings);
        return rankings;
    }
    for (size_t start = 0; start < queries.size(); start += size_t{QUERY_CHUNK}) {
        const std::vector<Query> chunk = chunk_of(queries, start);
        add_rankings(table, asked, chunk, in_steps(table, asked, chunk), rankings);
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
        std::vector<float> scores;
        for (size_t start = 0; start < queries.size(); start += size_t{QUERY_CHUNK}) {
            const std::vector<float> vectors = table->query_vectors(Columns(chunk_of(queries, start)));
            const std::vector<float> part = table->pair_scores(vectors, chunk_of(tails, start));
            scores.insert(scores.end(), part.begin(), part.end());
        }
        return scores;
    });
}

}  // namespace mmkg
