// Round to nearest and denormals as they are, whatever the caller has set; its settings come back at the end.
#pragma once

#include <cfenv>

namespace mmkg {

class FloatMode {
public:
    FloatMode() {
        std::fegetenv(&before_);
        std::fesetenv(FE_DFL_ENV);
    }
    ~FloatMode() { std::fesetenv(&before_); }
    FloatMode(const FloatMode &) = delete;
    FloatMode &operator=(const FloatMode &) = delete;

private:
    std::fenv_t before_;
};

}  // namespace mmkg
