// ONNX Runtime, through its C interface. Its headers are needed to compile this, its library only by who runs a graph:
// it is opened then.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "session.hpp"

namespace mmkg::internal {

// What a session on the CPU is made of.
struct SessionParts {
    std::string graph;  // its name, for messages
    std::string_view model;
    std::map<std::string, std::string_view> weights;  // the files that it reads from, in memory
    int threads = 1;
    std::string library;  // see Options::onnxruntime
};

// Throws Error (backend): this library was built without ONNX Runtime, there is none here or one that is too old, or it
// refuses the graph.
std::unique_ptr<const Session> open_session(const SessionParts &parts);

}  // namespace mmkg::internal
