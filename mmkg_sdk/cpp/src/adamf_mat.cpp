// AdaMF-MAT's queries: the known entity, each complex coordinate turned by the angle of the relation.
#include "adamf_mat.hpp"

#include "weights.hpp"

namespace mmkg::internal {
namespace {

class AdaMFQueries : public QueryVectors {
public:
    explicit AdaMFQueries(const Opened &opened) : weights_(opened.weights, "query_encoder") {
        weights_.expect({"rotations"});
        relations_ = weights_.axis("rotations", 0), width_ = weights_.axis("rotations", 1);
        rotations_ = weights_.float32("rotations", {relations_, width_});
    }

    std::vector<float> of(const float *table, int64_t rows, const Columns &queries) const override {
        static_cast<void>(rows);
        std::vector<float> vectors(static_cast<size_t>(queries.size() * width_));
        const int64_t half = width_ / 2;
        for (size_t i = 0; i < queries.entity.size(); ++i) {
            const float *entity = table + queries.entity[i] * width_, *turn = rotations_ + queries.relation[i] * width_;
            const float sign = queries.direction[i] == 0 ? 1.0F : -1.0F;
            float *to = vectors.data() + static_cast<int64_t>(i) * width_;
            for (int64_t j = 0; j < half; ++j) {
                const float re = entity[j], im = entity[j + half], cosine = turn[j], sine = sign * turn[j + half];
                to[j] = re * cosine - im * sine;
                to[j + half] = re * sine + im * cosine;
            }
        }
        return vectors;
    }

private:
    Weights weights_;
    int64_t relations_ = 0, width_ = 0;
    const float *rotations_ = nullptr;
};

}  // namespace

std::unique_ptr<const QueryVectors> adamf_mat_queries(const Opened &opened, mmkg_pool *pool) {
    static_cast<void>(pool);
    return std::make_unique<const AdaMFQueries>(opened);
}

}  // namespace mmkg::internal
