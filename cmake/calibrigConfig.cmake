# find_package(calibrig): headers and kernels, installed with the Python package. Link calibrig::calibrig.
get_filename_component(_calibrig_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
include(CMakeFindDependencyMacro)
find_dependency(Threads)
if(NOT TARGET calibrig::calibrig)
  add_library(calibrig::calibrig INTERFACE IMPORTED)
  set_target_properties(calibrig::calibrig PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_calibrig_prefix}/include"
    INTERFACE_LINK_LIBRARIES "${_calibrig_prefix}/lib/libcalibrig_kernels.a;Threads::Threads"
    INTERFACE_COMPILE_FEATURES cxx_std_20
    INTERFACE_COMPILE_OPTIONS "-ffp-contract=off")
endif()
unset(_calibrig_prefix)
