// What an ONNX file takes and gives, and where its weights lie, read without ONNX.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "files.hpp"

namespace mmkg::internal {

// The files of a bundle that the weights of a graph lie in: external data of its tensors, in subgraphs and functions as
// well. A reader of ONNX files joins such a location to the file's folder, and not every one refuses what leads
// elsewhere, so a graph is looked at before it gets there.
//
//   path    for messages
//   model   the content of the file
//   files   of the bundle
//
// Throws Error (bundle): it is no ONNX file, or reads from anywhere but the weights or the table.
std::set<std::string> weight_files(const std::string &path, std::string_view model,
                                   const std::map<std::string, Content> &files);

// Whether a graph takes and gives what bundle.json says: kernels do its work, and rely on that.
//
//   signature   its inputs and outputs, as JSON
//
// Throws Error (bundle).
void check_signature(const std::string &path, std::string_view model, const std::string &signature);

}  // namespace mmkg::internal
