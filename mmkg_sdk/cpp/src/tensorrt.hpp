// TensorRT, through its C++ headers: graphs as engines on an NVIDIA GPU. NEVER RUN ON A GPU. The headers are needed to
// compile this, the library only by who runs a graph: it is opened then.
#pragma once

#include <memory>
#include <string>

#include "mmkg/options.hpp"
#include "opened.hpp"
#include "session.hpp"

namespace mmkg::internal {

// The engine of a graph, from the folder Options::engines; opened must stay.
//
// Throws Error (backend): this library was built without TensorRT, there is none here or another version, no GPU, or no
// engine that fits.
std::unique_ptr<const Session> open_engine(const Opened &opened, const std::string &graph, const Options &options);

}  // namespace mmkg::internal
