// The C interface of the kernels, with handles that close themselves and status that throws.
#pragma once

#include <memory>
#include <string>

#include "mmkg.h"
#include "mmkg/error.hpp"
#include "mmkg_answer.h"
#include "mmkg_encoder.h"
#include "mmkg_link.h"
#include "mmkg_query.h"
#include "mmkg_tucker.h"

namespace mmkg::internal {

template <class Handle, void (*close)(Handle *)>
struct Close {
    void operator()(Handle *handle) const noexcept { close(handle); }
};

using Pool = std::unique_ptr<mmkg_pool, Close<mmkg_pool, mmkg_pool_close>>;
using Scan = std::unique_ptr<mmkg_scan, Close<mmkg_scan, mmkg_scan_close>>;
using QueryContext = std::unique_ptr<mmkg_query_context, Close<mmkg_query_context, mmkg_query_context_close>>;
using Tucker = std::unique_ptr<mmkg_tucker, Close<mmkg_tucker, mmkg_tucker_close>>;
using AnswerCall = std::unique_ptr<mmkg_answer, Close<mmkg_answer, mmkg_answer_close>>;
using LateInteraction = std::unique_ptr<mmkg_interaction, Close<mmkg_interaction, mmkg_interaction_close>>;
using TokenTable = std::unique_ptr<mmkg_token_table, Close<mmkg_token_table, mmkg_token_table_close>>;

// Throws what a status means.
//
//   maker   what gave NaN, for its message
//
// Throws Error (backend), (memory).
inline void check(mmkg_status status, const char *maker) {
    if (status == MMKG_OK) return;
    if (status == MMKG_NAN) {
        throw Error(Fault::backend, std::string(maker) +
                                        " gave NaN or infinity: float32 cannot hold what the weights make of the "
                                        "input. Export from a sound run.");
    }
    const Fault fault = status == MMKG_NO_MEMORY ? Fault::memory : Fault::backend;
    throw Error(fault, "the kernel refused its arguments or failed: " + std::string(mmkg_last_error()) + ".");
}

}  // namespace mmkg::internal
