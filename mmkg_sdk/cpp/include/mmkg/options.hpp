// options.hpp: how a bundle is opened to be asked.
#pragma once

#include <string>

namespace mmkg {

struct Options {
    // CPU threads of a call; 0 takes OMP_NUM_THREADS where it is set, else what affinity and control groups grant.
    int threads = 0;
    // Files of the bundle may be links to any place; see Bundle.
    bool follow_links = false;
    // The file libonnxruntime of ONNX Runtime 1.18 or newer, for graphs that no kernel stands in for. It is opened with
    // the first such graph and stays. Empty: what the system's loader finds as libonnxruntime.so.1.
    std::string onnxruntime = {};
    // Where a Model ranks: "cpu", or "cuda" or "cuda:N", an NVIDIA GPU, by the CUDA kernels of libmmkg. They have not
    // run on a GPU yet. New entities are encoded on the CPU; a table that grows is copied to the GPU again.
    std::string device = "cpu";
    // The file mmkg_cuda.bin, the kernels for GPUs. Empty: that beside libmmkg.
    std::string cuda_image = {};
};

}  // namespace mmkg
