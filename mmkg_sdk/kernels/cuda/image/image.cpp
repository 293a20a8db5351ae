#include "cuda/image/image.h"

#include <array>
#include <cstring>
#include <set>

#include "common/status.h"

namespace mmkg::cuda {

namespace {

constexpr char kMagic[] = "MMKGCUDA";
constexpr uint32_t kVersion = 1;
constexpr int kMaxThreads = 1024, kNameBytes = 64, kAlignment = 16;

struct Header {
    char magic[8];
    uint32_t version, entries, parameters, constants, checksum, zero;
    uint64_t bytes;
};

struct EntryRecord {
    char name[kNameBytes], symbol[kNameBytes];
    uint32_t target, kind;
    uint64_t offset, bytes;
    uint32_t shared_bytes, threads, first_parameter, parameters, first_constant, constants, checksum, zero;
};

static_assert(sizeof(Header) == 40 && sizeof(EntryRecord) == 184, "as in image.py");
static_assert(sizeof(Parameter) == 48 && sizeof(Constant) == 32, "as in image.py");

uint32_t crc32(const unsigned char *bytes, uint64_t count) {
    static const std::array<uint32_t, 256> table = [] {
        std::array<uint32_t, 256> made{};
        for (uint32_t i = 0; i < 256; ++i) {
            uint32_t value = i;
            for (int bit = 0; bit < 8; ++bit) value = value & 1 ? 0xEDB88320u ^ value >> 1 : value >> 1;
            made[i] = value;
        }
        return made;
    }();
    uint32_t value = 0xFFFFFFFFu;
    for (uint64_t i = 0; i < count; ++i) value = table[(value ^ bytes[i]) & 0xFF] ^ value >> 8;
    return ~value;
}

// Whether `count` things from the one numbered `first` on are among `all`.
bool among(uint32_t first, uint32_t count, uint32_t all) { return first <= all && count <= all - first; }

template <class Record>
Record read(const unsigned char *at) {
    Record record;
    std::memcpy(&record, at, sizeof record);
    return record;
}

std::string name_of(const char (&text)[kNameBytes]) {
    const void *const end = std::memchr(text, '\0', kNameBytes);
    require(end != nullptr && end != text, "the image of the CUDA kernels is damaged: a name has no end");
    return text;
}

void require_parameter(const Parameter &parameter) {
    bool fits = parameter.argument < kMaxParameters && parameter.axis < kMaxBoxRank && parameter.rank <= kMaxBoxRank;
    switch (parameter.kind) {
        case Kind::Integer:
        case Kind::Extent:
            fits = fits && (parameter.bytes == 4 || parameter.bytes == 8);
            break;
        case Kind::Float:
            fits = fits && parameter.bytes == 4;
            break;
        case Kind::Address:
        case Kind::TensorAddress:
        case Kind::Stride:
            fits = fits && parameter.bytes == 8;
            break;
        case Kind::TensorMap:
            fits = fits && parameter.bytes == kTensorMapBytes && parameter.rank >= 1;
            break;
        case Kind::Zero:
            fits = fits && parameter.bytes <= 8;
            break;
        default:
            fits = false;
    }
    require(fits, "the image of the CUDA kernels is damaged: a parameter is of no known form");
}

}  // namespace

void Entry::verify() const {
    require(crc32(code, bytes) == checksum, "the image of the CUDA kernels is damaged: code differs from its checksum");
}

Image::Image(const void *contents, int64_t bytes) {
    require(contents != nullptr && bytes >= static_cast<int64_t>(sizeof(Header)),
            "the image of the CUDA kernels is cut off in its header");
    const auto *const file = static_cast<const unsigned char *>(contents);
    const uint64_t size = static_cast<uint64_t>(bytes);
    const Header header = read<Header>(file);
    require(std::memcmp(header.magic, kMagic, 8) == 0, "this is no image of CUDA kernels");
    require(header.version == kVersion && header.zero == 0,
            "the image of the CUDA kernels is of another version; reinstall mmkg_sdk");
    require(header.bytes == size, "the image of the CUDA kernels is cut off or has something after its end");
    // Counts are of 32 bits, so these products fit.
    const uint64_t entry_bytes = uint64_t(header.entries) * sizeof(EntryRecord);
    const uint64_t parameter_bytes = uint64_t(header.parameters) * sizeof(Parameter);
    const uint64_t tables = entry_bytes + parameter_bytes + uint64_t(header.constants) * sizeof(Constant);
    require(tables <= size - sizeof(Header), "the image of the CUDA kernels is cut off in its tables");
    require(crc32(file + sizeof(Header), tables) == header.checksum,
            "the image of the CUDA kernels is damaged: its tables differ from their checksum");
    const unsigned char *const first_entry = file + sizeof(Header), *const first_parameter = first_entry + entry_bytes,
                        *const first_constant = first_parameter + parameter_bytes;
    entries.reserve(header.entries);
    for (uint32_t i = 0; i < header.entries; ++i) {
        const auto record = read<EntryRecord>(first_entry + i * sizeof(EntryRecord));
        require(record.offset % kAlignment == 0 && record.bytes > 0 && record.offset <= size &&
                    record.bytes <= size - record.offset,
                "the image of the CUDA kernels is damaged: code lies outside of it");
        require(among(record.first_parameter, record.parameters, header.parameters) &&
                    among(record.first_constant, record.constants, header.constants) &&
                    record.parameters <= kMaxParameters,
                "the image of the CUDA kernels is damaged: parameters or constants lie outside of it");
        require(record.kind <= 1 && record.threads >= 32 && record.threads <= kMaxThreads && record.target <= 1000,
                "the image of the CUDA kernels is damaged: a kernel is of no known form");
        Entry entry{name_of(record.name), name_of(record.symbol), static_cast<int>(record.target), record.kind == 1,
                    file + record.offset, record.bytes, record.checksum, record.shared_bytes, record.threads, {}, {}};
        require(!entry.is_ptx || entry.code[entry.bytes - 1] == '\0',
                "the image of the CUDA kernels is damaged: PTX has no end");
        for (uint32_t p = 0; p < record.parameters; ++p) {
            const uint64_t place = record.first_parameter + uint64_t(p);
            entry.parameters.push_back(read<Parameter>(first_parameter + place * sizeof(Parameter)));
            require_parameter(entry.parameters.back());
        }
        for (uint32_t c = 0; c < record.constants; ++c) {
            const uint64_t place = record.first_constant + uint64_t(c);
            entry.constants.push_back(read<Constant>(first_constant + place * sizeof(Constant)));
            require(entry.constants.back().name[sizeof Constant::name - 1] == '\0',
                    "the image of the CUDA kernels is damaged: a name has no end");
        }
        entries.push_back(std::move(entry));
    }
}

void Image::verify() const {
    for (const Entry &entry : entries) entry.verify();
}

const Entry *Image::find(const std::string &name, int capability) const {
    const Entry *best = nullptr;
    for (const Entry &entry : entries) {
        if (entry.name != name || entry.target > capability) continue;
        // Code for 9.0 and above is for that very GPU (sm_90a, ...); code for 8.x runs on what follows within 8.x.
        const bool same = entry.target == capability;
        const bool follows = entry.target / 10 == 8 && capability / 10 == 8;
        if (!entry.is_ptx && !same && !follows) continue;
        const bool better = best == nullptr || (best->is_ptx && !entry.is_ptx) ||
                            (best->is_ptx == entry.is_ptx && entry.target > best->target);
        if (better) best = &entry;
    }
    return best;
}

bool Image::serves(int capability) const {
    for (const Entry &entry : entries)
        if (find(entry.name, capability) != nullptr) return true;
    return false;
}

std::string Image::targets() const {
    std::set<int> found;
    for (const Entry &entry : entries) found.insert(entry.target);
    std::string text;
    for (const int target : found)
        text += (text.empty() ? "" : ", ") + std::to_string(target / 10) + "." + std::to_string(target % 10);
    return text;
}

}  // namespace mmkg::cuda
