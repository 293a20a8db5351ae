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
    // The file libnvinfer of TensorRT 10. Where it is named, graphs that no kernel stands in for run as its engines and not
    // on ONNX Runtime, on the GPU of `device`, or on the first one where that is cpu. They have not run on a GPU yet.
    std::string tensorrt = {};
    // With it, the folder of engines that `mmkg-sdk build-engine` made: CACHE/engines.
    std::string engines = {};
    // Where a Model ranks: "cpu", or "cuda" or "cuda:N", an NVIDIA GPU, by the CUDA kernels of libmmkg. They have not
    // run on a GPU yet. New entities are encoded on the CPU; a table that grows is copied to the GPU again.
    std::string device = "cpu";
    // The file mmkg_cuda.bin, the kernels for GPUs. Empty: that beside libmmkg.
    std::string cuda_image = {};
};

}  // namespace mmkg
