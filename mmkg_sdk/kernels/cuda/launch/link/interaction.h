// MIMIC's late interaction on a GPU: what scores (interaction.cpp) and what is ranked by them (ranking.cpp) share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "cuda/device/gpu.h"
#include "mmkg_cuda_link.h"

namespace mmkg::cuda {

inline int64_t parts(int64_t count, int64_t size) { return (count + size - 1) / size; }

// Vectors in the order in which kernels take them, copied into one block of GPU memory.
class Vectors {
public:
    explicit Vectors(const mmkg_interaction_weights &w) {
        add(w.context_weight, w.text_unit_width);
        add(w.context_bias, w.text_unit_width);
        for (const mmkg_dual_weights *dual : {&w.by_entity, &w.by_mention}) {
            for (const float *vector : {dual->to_gate, dual->context, dual->scale, dual->shift}) {
                add(vector, w.image_unit_width);
            }
            require(std::isfinite(dual->gate_offset) && std::isfinite(dual->context_square),
                    "weights: a number is not finite");
        }
    }

    void copy_to(const mmkg_gpu &gpu) {
        memory = std::make_unique<Memory>(gpu, static_cast<int64_t>(host.size() * sizeof(float)));
        check(gpu.api.copy_to_device(memory->address, host.data(), host.size() * sizeof(float), nullptr),
              "copy weights to the GPU");
        check(gpu.api.stream_synchronize(nullptr), "copy weights to the GPU");
    }

    Address operator[](size_t number) const { return memory->address + starts[number] * sizeof(float); }

private:
    void add(const float *vector, int64_t width) {
        require(vector != nullptr, "a weight is NULL");
        starts.push_back(host.size());
        for (int64_t i = 0; i < width; ++i) {
            require(std::isfinite(vector[i]), "weights: one holds NaN or infinity");
            host.push_back(vector[i]);
        }
        host.resize(parts(static_cast<int64_t>(host.size()), 64) * 64);  // the next at a multiple of 256 bytes
    }

    std::vector<float> host;
    std::vector<size_t> starts;
    std::unique_ptr<Memory> memory;
};

}  // namespace mmkg::cuda

struct mmkg_gpu_interaction {
    mmkg_gpu_interaction(mmkg_gpu &gpu, const mmkg_interaction_weights &weights, bool half);

    struct Call {
        const mmkg_gpu_mention_pieces &mentions;
        const int64_t num_mentions;
        const mmkg_gpu_entity_pieces &entities;
        const mmkg::cuda::Address candidates;
        const int64_t listed, count;  // candidates, 0 without; scores of a mention
        const mmkg::cuda::Address text, image, image_text, wrong;
    };
    void launch(const Call &call, mmkg::cuda::Stream stream) const;

    mmkg_gpu &gpu;
    mmkg_interaction_weights sizes;  // and numbers; vectors are on the GPU

    // Every kernel is loaded when the interaction is opened, since loading does not suit a capture.
    const mmkg::cuda::Kernel &unit_means, &select_best, &target_ranks;

private:
    void launch_text(const Call &call, mmkg::cuda::Stream stream) const;
    void launch_image(const Call &call, mmkg::cuda::Stream stream) const;

    const bool half;       // entities are float16
    const int64_t length;  // that of a kernel
    mmkg::cuda::Vectors vectors;
    const mmkg::cuda::Kernel *keys, *text, *image;
};

namespace mmkg::cuda {

// What a call is asked that takes mentions, candidates and targets from the host.
struct Asked {
    const mmkg_mention_pieces *mentions;
    const int64_t num_mentions;
    const mmkg_gpu_entity_pieces *entities;
    const int64_t num_entities;
    const int64_t *candidates;  // or NULL: all entities
    const int64_t num_candidates;
    const int64_t *targets;  // a row of the entities for each mention, or NULL
    const mmkg_gpu_mention_pieces *placed = nullptr;  // the mentions, where an earlier call has brought them

    int64_t listed() const { return candidates ? num_candidates : 0; }
    int64_t count() const { return candidates ? num_candidates : num_entities; }  // scores of a mention
    bool nothing() const { return count() == 0 || num_mentions == 0; }
    void check() const;
};

// The pieces of a call in one block that one copy brings to the GPU.
class Brought {
public:
    Brought(const mmkg_interaction_weights &sizes, const Asked &asked);

    int64_t bytes() const { return total; }
    void copy(const Api &api, const Pinned &staging, Address to, Stream stream);

    mmkg_gpu_mention_pieces mentions() const {
        return placed ? *placed : mmkg_gpu_mention_pieces{at(0), at(1), at(2), at(3), at(4), at(5)};
    }
    Address candidates() const { return pieces[6].bytes > 0 ? at(6) : 0; }
    Address targets() const { return at(7); }

private:
    struct Piece {
        const void *from;
        int64_t start, bytes;
    };
    void add(const void *from, int64_t bytes);
    Address at(size_t piece) const { return start + static_cast<Address>(pieces[piece].start); }

    const mmkg_gpu_mention_pieces *const placed;
    std::vector<Piece> pieces;
    int64_t total = 0;
    Address start = 0;
};

// The scores of a call that was checked and asks for something, on the GPU for as long as this lives: they are put on the
// stream at once. The three units, whether a score is wrong, and `more` bytes lie one after the other, so that one copy
// brings back either all or what is behind the units.
class Scoring {
public:
    Scoring(const mmkg_gpu_interaction &interaction, const Asked &asked, bool whole, int64_t more, Stream stream);

    Address unit(int number) const { return found + static_cast<Address>(number * unit_bytes); }
    Address more() const { return unit(3) + static_cast<Address>(Workspace::rounded(4)); }
    Address targets() const { return brought.targets(); }
    mmkg_gpu_mention_pieces mentions() const { return brought.mentions(); }

    // Waits. Throws NotANumber, if a score is NaN or infinite.
    void bring_back();
    void copy_scores(float *const *units, int64_t count) const {
        for (int i = 0; i < 3; ++i) std::copy_n(received.at<float>(i * unit_bytes), count, units[i]);
    }
    const int32_t *results() const { return received.at<int32_t>(back - more_bytes); }

private:
    mmkg_gpu &gpu;
    const Stream stream;
    Brought brought;
    const int64_t unit_bytes, more_bytes, back;  // what comes back
    const Pinned sent, received;
    Workspace work;
    Waiting waiting;
    Address found;
};

}  // namespace mmkg::cuda
