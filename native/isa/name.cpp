// What this copy of the kernels was compiled for.
#define CALIBRIG_STRING_(x) #x
#define CALIBRIG_STRING(x) CALIBRIG_STRING_(x)

namespace calibrig::CALIBRIG_ISA {

const char* compiled_for() noexcept { return CALIBRIG_STRING(CALIBRIG_ISA); }

}  // namespace calibrig::CALIBRIG_ISA
