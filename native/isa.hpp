// Which instruction set the kernels of this process use: detected once, may be lowered by CALIBRIG_ISA.
#pragma once

#include <cstdlib>
#include <cstring>

namespace calibrig {

enum class Isa : int { baseline = 0, avx2 = 1, avx512 = 2 };

inline const char* name_of(Isa isa) noexcept {
    switch (isa) {
        case Isa::avx512: return "avx512";
        case Isa::avx2: return "avx2";
        default: return "baseline";
    }
}

inline Isa best_isa() noexcept {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512vnni");
    return avx512 ? Isa::avx512 : avx2 ? Isa::avx2 : Isa::baseline;
#else
    return Isa::baseline;
#endif
}

// The set in use: the best the processor has, or the lower one named by CALIBRIG_ISA when the process starts.
inline Isa active_isa() noexcept {
    static const Isa chosen = [] {
        const Isa best = best_isa();
        const char* wanted = std::getenv("CALIBRIG_ISA");
        if (wanted == nullptr) return best;
        for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
            if (std::strcmp(wanted, name_of(isa)) == 0 && isa <= best) return isa;
        return best;
    }();
    return chosen;
}

}  // namespace calibrig
